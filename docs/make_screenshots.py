"""Make the documentation's screenshots of MLflow's own pages, from any tracking URI.

    python docs/make_screenshots.py --tracking-uri sqlite:///.evalkit/mlflow.db --model digits-gan --version 2 \
        --out docs/images

Starts an MLflow server on a free port (unless the URI is one already) and a chromedriver, waits until each page has
drawn its data, and ends both. Needs the binaries ``chromium`` and ``chromedriver``; speaks WebDriver over plain HTTP.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT = 40.0
_CLOSE_ASSISTANT = "document.querySelectorAll('button[aria-label=Close]').forEach(button => button.click())"


def main() -> None:
    """Parse the arguments and make every screenshot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracking-uri", required=True, help="an MLflow database URI, or the URL of a server")
    parser.add_argument("--model", required=True, help="registered model")
    parser.add_argument("--version", required=True, help="its version")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the PNG files")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=1150)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with server(arguments.tracking_uri) as url, browser(arguments.width, arguments.height) as driver:
        for name, (path, expected) in pages(url, arguments.model, arguments.version).items():
            driver.open(f"{url}/{path}", expected)
            target = arguments.out / f"{name}.png"
            target.write_bytes(driver.screenshot())
            print(f"{target}  ({path})")  # noqa: T201


def pages(url: str, model: str, version: str) -> dict[str, tuple[str, str]]:
    """Name of each screenshot to its path in MLflow's UI, and a text that shows that the page is drawn."""
    from mlflow import MlflowClient

    client = MlflowClient(url, url)
    found = client.get_model_version(model, version)
    result = {"model-version": (f"#/models/{model}/versions/{version}", "evalkit.verdict")}
    run_id = found.tags.get("evalkit.run")
    if run_id:
        run = client.get_run(run_id)
        base = f"#/experiments/{run.info.experiment_id}"
        result["run"] = (f"{base}/runs/{run_id}", "suite_digest")
        result["run-scorecard"] = (f"{base}/runs/{run_id}/artifacts/scorecard.html", "estimates.json")
        if "evalkit.rows" in run.data.tags:
            result["run-evaluation"] = (f"{base}/runs/{run_id}/traces", "compare to")
        if found.source.startswith("models:/m-"):
            result["logged-model"] = (f"{base}/models/{found.source.removeprefix('models:/')}", "Model ID")
    return result


@contextmanager
def server(tracking_uri: str) -> Iterator[str]:
    """An MLflow server on the given store, ended afterwards; a URL is used as it is."""
    if tracking_uri.startswith(("http://", "https://")):
        yield tracking_uri.rstrip("/")
        return
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with ended(command, environment):
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/health")
        yield url


@contextmanager
def browser(width: int, height: int) -> Iterator[Driver]:
    """A headless Chromium behind a chromedriver, both ended afterwards."""
    binary = shutil.which("chromedriver")
    if binary is None:
        raise SystemExit("chromedriver is not on the PATH; install it beside chromium")
    port = free_port()
    with tempfile.TemporaryDirectory() as profile, ended([binary, f"--port={port}"], dict(os.environ)):
        answers(f"http://127.0.0.1:{port}/status")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        flags += ["--disable-background-networking", f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        driver = Driver(f"http://127.0.0.1:{port}", flags)
        try:
            yield driver
        finally:
            driver.quit()


class Driver:
    """As much of WebDriver as screenshots need."""

    def __init__(self, url: str, flags: list[str]) -> None:
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": flags}}}}
        self._base = f"{url}/session/{_post(f'{url}/session', wanted)['sessionId']}"

    def open(self, url: str, expected: str) -> None:
        """Go to a page and wait until it shows a text; a page that never does raises `TimeoutError`."""
        _post(f"{self._base}/url", {"url": "about:blank"})
        _post(f"{self._base}/url", {"url": url})
        end = time.monotonic() + WAIT
        while expected not in self.run("return document.body ? document.body.innerText : ''"):
            if time.monotonic() > end:
                raise TimeoutError(f"{url} did not show {expected!r} within {WAIT:.0f} s")
            time.sleep(0.3)
        time.sleep(1.0)
        self.run(_CLOSE_ASSISTANT)
        time.sleep(1.5)  # tables and frames still settle after their first text

    def run(self, script: str) -> Any:
        """Run a script in the page and return what it returns."""
        return _post(f"{self._base}/execute/sync", {"script": script, "args": []})

    def screenshot(self) -> bytes:
        """The window as PNG."""
        with urllib.request.urlopen(f"{self._base}/screenshot", timeout=60) as answer:  # noqa: S310 (own driver)
            return base64.b64decode(json.load(answer)["value"])

    def quit(self) -> None:
        """End the browser."""
        request = urllib.request.Request(self._base, method="DELETE")  # noqa: S310 (own driver)
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 (own driver)
            pass


@contextmanager
def ended(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """A process that is ended, and waited for, whatever happens."""
    process = subprocess.Popen(  # noqa: S603 (our own commands)
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> None:
    """Wait until a URL answers."""
    end = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (own server)
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _post(url: str, body: dict[str, Any]) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 (own driver)
    with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310 (own driver)
        return json.load(answer)["value"]


if __name__ == "__main__":
    main()
