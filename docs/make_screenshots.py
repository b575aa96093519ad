"""Make the documentation's screenshots from the demo's store: MLflow's pages, scorecards, and evalkit's own pages.

    python docs/make_screenshots.py --tracking-uri sqlite:///demo-output/seed-0/.evalkit/mlflow.db --out docs/images

Starts an evalkit server on a free port (unless the URI is one already) and a chromedriver, waits until each page has
drawn its data, and ends both. Needs the binaries ``chromium`` and ``chromedriver``; speaks WebDriver over plain HTTP.
"""

from __future__ import annotations

import argparse
import base64
import io
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

WAIT = 40.0
_CLOSE_ASSISTANT = "document.querySelectorAll('button[aria-label=Close]').forEach(button => button.click())"
_DRAWN = """
return [...document.querySelectorAll('[data-chart]')].every(
  chart => chart.getBoundingClientRect().top > innerHeight || chart.querySelector('svg'))
"""
_NO_ASSISTANT = """
let part = document.elementFromPoint(innerWidth - 48, innerHeight - 36);
while (part && getComputedStyle(part).position !== 'fixed') part = part.parentElement;
if (part && part.id !== 'root') part.style.visibility = 'hidden';
"""


@dataclass(frozen=True)
class Shot:
    """One picture: which page of which model version; a `page` that begins with a slash is one of evalkit's own."""

    name: str
    model: str
    version: int
    page: str
    dark: bool = False
    height: int = 1000
    width: int = 1280


SHOTS = (
    Shot("version-passed", "digits-gan", 1, "version", height=960),
    Shot("version-refused", "digits-gan", 2, "version", height=960),
    Shot("run", "digits-gan", 2, "run"),
    Shot("run-scorecard", "digits-gan", 2, "artifact"),
    Shot("run-rows", "docs-bot", 2, "rows", width=1440),
    Shot("scorecard", "digits-gan", 2, "scorecard", height=1750),
    Shot("scorecard-dark", "docs-bot", 2, "scorecard", dark=True, height=1500),
    Shot("page-overview", "docs-bot", 2, "/evalkit", height=960),
    Shot("page-version", "digits-gan", 2, "/evalkit/models/digits-gan/2", height=1250),
    Shot("page-monitor", "docs-bot", 2, "/evalkit/monitors/docs-bot-prod", height=1500),
    Shot("page-compare", "docs-bot", 2, "/evalkit/compare?versions=docs-bot/2,docs-bot/1", dark=True, height=1500),
)


def main() -> None:
    """Parse the arguments and make every screenshot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracking-uri", required=True, help="an MLflow database URI, or the URL of a server")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the PNG files")
    parser.add_argument("--only", nargs="*", help="names of screenshots to make; all by default")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with server(arguments.tracking_uri) as url, browser() as driver, tempfile.TemporaryDirectory() as folder:
        for shot in SHOTS:
            if arguments.only and shot.name not in arguments.only:
                continue
            address, expected = page(url, shot, Path(folder))
            driver.view(shot.width, shot.height, dark=shot.dark)
            driver.open(address, expected)
            wait_for_charts(driver)
            target = arguments.out / f"{shot.name}.png"
            target.write_bytes(smaller(driver.screenshot()))
            print(f"{target}  {target.stat().st_size // 1000} kB")  # noqa: T201


def page(url: str, shot: Shot, folder: Path) -> tuple[str, str]:
    """Address of a page, and a text that shows that it is drawn."""
    from mlflow import MlflowClient

    if shot.page.startswith("/"):
        return f"{url}{shot.page}", "evalkit"
    client = MlflowClient(url, url)
    found = client.get_model_version(shot.model, str(shot.version))
    if shot.page == "version":
        return f"{url}/#/models/{shot.model}/versions/{shot.version}", "evalkit.artifact_digest"
    run_id = found.tags["evalkit.run"]
    if shot.page == "scorecard":
        return Path(client.download_artifacts(run_id, "scorecard.html", str(folder))).as_uri(), shot.model
    run = f"{url}/#/experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}"
    where, expected = {
        "run": ("", "suite_digest"),
        "artifact": ("/artifacts/scorecard.html", "estimates.json"),
        "rows": ("/traces", "compare to"),
    }[shot.page]
    return run + where, expected


def wait_for_charts(driver: Driver) -> None:
    """Wait until every chart in view answers to the pointer; other pages have none."""
    end = time.monotonic() + WAIT
    while not driver.run(_DRAWN) and time.monotonic() < end:
        time.sleep(0.3)


def smaller(png: bytes) -> bytes:
    """The same picture with a palette of 256 colours."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@contextmanager
def server(tracking_uri: str) -> Iterator[str]:
    """An `evalkit server` on a project's store, ended afterwards; a URL is used as it is."""
    if tracking_uri.startswith(("http://", "https://")):
        yield tracking_uri.rstrip("/")
        return
    port = free_port()
    project = Path(tracking_uri.removeprefix("sqlite:///")).resolve().parents[1]  # beside its folder .evalkit
    command = [sys.executable, "-m", "evalkit.cli", "server", "--no-jobs", "--port", str(port)]
    with ended(command, os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}, project):
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/health")
        yield url


@contextmanager
def browser(kind: type[Driver] | None = None) -> Iterator[Driver]:
    """A headless Chromium behind a chromedriver, both ended afterwards; `kind` is a driver that can more."""
    binary = shutil.which("chromedriver")
    if binary is None:
        raise SystemExit("chromedriver is not on the PATH; install it beside chromium")
    port = free_port()
    with tempfile.TemporaryDirectory() as profile, ended([binary, f"--port={port}"], dict(os.environ)):
        answers(f"http://127.0.0.1:{port}/status")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        flags += ["--disable-background-networking", f"--user-data-dir={profile}"]
        driver = (kind or Driver)(f"http://127.0.0.1:{port}", flags)
        try:
            yield driver
        finally:
            driver.quit()


class Driver:
    """As much of WebDriver as screenshots need."""

    capabilities: ClassVar[dict[str, Any]] = {}

    def __init__(self, url: str, flags: list[str]) -> None:
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": flags}, **self.capabilities}}}
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
        self.run(_NO_ASSISTANT)
        time.sleep(1.5)  # tables and frames still settle after their first text

    def view(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the page and whether its reader prefers dark colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def devtools(self, command: str, parameters: dict[str, Any]) -> None:
        """A command of Chromium's own."""
        _post(f"{self._base}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def type(self, text: str) -> None:
        """Type a text into the field that has the focus."""
        self.devtools("Input.insertText", {"text": text})

    def press(self, key: str, code: int) -> None:
        """Press and release a key, given by its name and its virtual key code."""
        for event in ("rawKeyDown", "keyUp"):
            pressed = {"type": event, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self.devtools("Input.dispatchKeyEvent", pressed)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns."""
        return self.command("execute/sync", {"script": script, "args": list(arguments)})

    def command(self, path: str, body: dict[str, Any]) -> Any:
        """A command of WebDriver in this session."""
        return _post(f"{self._base}/{path}", body)

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
def ended(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Iterator[None]:
    """A process that is ended, and waited for, whatever happens."""
    process = subprocess.Popen(  # noqa: S603 (our own commands)
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
