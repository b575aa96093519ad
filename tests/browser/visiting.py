"""A browser that tells what a page did: scripts, requests, charts, accessibility, width."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
WIDE, TALL, NARROW = 1280, 6000, 360
PATIENCE = 60.0
_SHOW_CHARTS = "document.querySelectorAll('details:has([data-chart])').forEach(one => { one.open = true })"
_CHARTS = """
const all = [...document.querySelectorAll('[data-chart]')];
return [all.length, all.filter(one => one.querySelector('svg.marks')).length];
"""
_TRACES = """
const active = [...document.querySelectorAll('a[href], form[action], [formaction], iframe[src]')]
  .flatMap(one => ['href', 'action', 'formaction', 'src'].map(name => one.getAttribute(name) || ''))
  .filter(value => /^[\\s\\x00-\\x1f]*(javascript|data|vbscript):/i.test(value));
return {ran: window.planted || [], title: document.title, elements: document.querySelectorAll('[data-planted]').length,
        active, text: document.body.textContent};
"""
_DRAWINGS = """
const all = [...document.querySelectorAll('[data-chart] img')];
return {drawn: all.length, broken: all.filter(one => !one.complete || !one.naturalWidth).length,
        tables: document.querySelectorAll('figure table tbody tr').length,
        figures: document.querySelectorAll('figure.drawn').length};
"""
_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, Object.assign({resultTypes: ['violations']}, arguments[0])).then(
  found => done(found.violations.map(one => ({id: one.id, impact: one.impact,
    nodes: one.nodes.slice(0, 3).map(node => node.html.slice(0, 200) + ': ' + node.failureSummary)}))),
  error => done([{id: String(error), impact: 'critical', nodes: []}]));
"""
SERIOUS = ("serious", "critical")


def _driver() -> type[Any]:
    """The driver of the documentation's screenshots."""
    spec = importlib.util.spec_from_file_location("screenshots_to_visit", ROOT / "docs" / "make_screenshots.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    found: type[Any] = module.Driver
    return found


@cache
def axe() -> str:
    """The script of axe-core, from the package that carries it."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Visit:
    """What happened while a page was open."""

    console: list[str]
    foreign: list[str]
    charts: int
    drawn: int
    violations: list[dict[str, Any]]
    in_the_dark: list[dict[str, Any]]
    overflow: int
    wide: list[str]
    traces: dict[str, Any]


class Browser(_driver()):  # type: ignore[misc]
    """WebDriver with logs, scripts on and off, and axe-core."""

    capabilities: ClassVar[dict[str, Any]] = {
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}, "timeouts": {"script": 60_000},
        "unhandledPromptBehavior": "ignore",
    }  # fmt: skip

    def go(self, url: str) -> None:
        """Open a page; WebDriver comes back when it is loaded."""
        self.command("url", {"url": url})

    def logs(self, kind: str) -> list[Any]:
        found: list[Any] = self.command("se/log", {"type": kind})
        return found

    def patiently(self, script: str, *arguments: Any) -> Any:
        """Run a script that calls back."""
        return self.command("execute/async", {"script": script, "args": list(arguments)})

    def enter(self) -> None:
        """Press the enter key, which a page hears as typed."""
        for kind in ("keyDown", "keyUp"):
            key = {"type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
            self.devtools("Input.dispatchKeyEvent", key)

    def click(self, selector: str) -> None:
        """Click as a person does."""
        found = self.command("element", {"using": "css selector", "value": selector})
        self.command(f"element/{next(iter(found.values()))}/click", {})

    def until(self, script: str) -> None:
        """Wait until a script says true."""
        deadline = time.monotonic() + PATIENCE
        while not self.run(script):
            if time.monotonic() > deadline:
                raise TimeoutError(script)
            time.sleep(0.05)

    def scripts(self, *, on: bool) -> None:
        self.devtools("Emulation.setScriptExecutionDisabled", {"value": not on})

    def check(self, **options: Any) -> list[dict[str, Any]]:
        """What axe-core finds that is serious or critical."""
        if not self.run("return !!window.axe"):
            self.run(axe())
        found = self.patiently(_AXE, options)
        return [one for one in found if one["impact"] in SERIOUS]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last look."""
        asked = []
        for entry in self.logs("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(str(message["params"]["request"]["url"]))
        return asked

    def visit(self, url: str) -> Visit:
        self.view(WIDE, TALL)
        self.command("url", {"url": "about:blank"})
        self.logs("browser")
        self.requests()
        self.go(url)
        self.run(_SHOW_CHARTS)
        deadline = time.monotonic() + PATIENCE
        while True:
            charts, drawn = self.run(_CHARTS)
            if charts == drawn or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        traces = self.run(_TRACES)
        # A missing icon of another page and the like would be errors, too
        console = [f"{one['level']} {one['message']}" for one in self.logs("browser") if one["level"] == "SEVERE"]
        asked = self.requests()
        self.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        light = self.check()
        self.view(WIDE, TALL, dark=True)
        dark = self.check(runOnly=["color-contrast"])
        self.view(NARROW, 800)
        overflow, wide = self.run(
            "const out = document.documentElement.scrollWidth - document.documentElement.clientWidth;"
            "return [out, out > 0 ? [...document.querySelectorAll('main *, header *')].filter(one =>"
            " one.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !one.closest('.scroll'))"
            ".slice(0, 5).map(one => one.outerHTML.slice(0, 160)) : []]"
        )
        here = urlsplit(url).netloc
        foreign = [one for one in asked if one.startswith(("http", "ws")) and urlsplit(one).netloc != here]
        return Visit(console, foreign, charts, drawn, light, dark, overflow, wide, traces)

    def without_scripts(self, url: str) -> dict[str, Any]:
        """What a page shows where scripts are off."""
        self.view(WIDE, TALL)
        self.scripts(on=False)
        try:
            self.go(url)
            deadline = time.monotonic() + PATIENCE
            while (found := self.run(_DRAWINGS))["broken"] and time.monotonic() < deadline:
                time.sleep(0.05)
            return dict(found)
        finally:
            self.scripts(on=True)
