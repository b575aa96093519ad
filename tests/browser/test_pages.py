"""Each page in a real browser: opens quietly, draws, asks nobody else, is accessible, and runs nobody's script."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import requests

pytestmark = [pytest.mark.slow, pytest.mark.chromium]


def test_opens_without_an_error(site: Any, address: str):
    assert site.get(site.full(address)).status_code == 200
    assert site.visit(address).console == []


def test_asks_nobody_but_the_server(site: Any, address: str):
    assert site.visit(address).foreign == []


def test_charts_answer_to_the_pointer(site: Any, address: str):
    visit = site.visit(address)
    assert visit.drawn == visit.charts


def test_is_whole_without_scripts(site: Any, address: str):
    found = site.without_scripts(address)
    assert found["broken"] == 0
    assert found["tables"] >= found["figures"]
    assert found["drawn"] == site.visit(address).charts


@pytest.mark.parametrize("light", ["light", "dark"])
def test_axe_finds_nothing_serious(site: Any, address: str, light: str):
    visit = site.visit(address)
    assert (visit.violations if light == "light" else visit.in_the_dark) == []


def test_fits_a_narrow_screen(site: Any, address: str):
    visit = site.visit(address)
    assert visit.overflow <= 0, visit.wide


def test_nobodys_script_runs(site: Any, address: str):
    traces = site.visit(address).traces
    assert traces["ran"] == []
    assert traces["title"].endswith("evalkit")
    assert traces["elements"] == 0, "markup of a payload became elements; only the policy stops its script"
    assert traces["active"] == []


def test_errors_are_quiet_pages(site: Any, error_address: str):
    visit = site.browser.visit(site.full(error_address))
    assert visit.violations == visit.in_the_dark == visit.foreign == []
    assert all("status of 4" in line for line in visit.console)
    assert visit.overflow <= 0


# Over all pages


def test_some_page_has_charts(site: Any):
    assert sum(site.visit(address).charts for address in site.addresses) >= 4


def test_payloads_are_shown_as_what_they_are(site: Any, payloads: tuple[str, ...]):
    said = "\n".join(site.visit(address).traces["text"] for address in site.addresses)
    shown = {payload[:4] for payload in payloads if f"{payload[:4]}<" in said or payload[:12] in said}
    assert len(shown) >= 30, sorted({payload[:4] for payload in payloads} - shown)


def test_every_link_leads_somewhere(site: Any):
    dead = {}
    for address in site.addresses:
        page = site.get(site.full(address)).text
        for link in set(re.findall(r'href="(/evalkit[^"#]*)["#]', page)):
            status = site.get(site.url + link.replace("&amp;", "&")).status_code
            if status >= 400:
                dead.setdefault(link, address)
    assert dead == {}


def test_the_keyboard_comes_to_the_content_first(site: Any):
    browser = site.browser
    browser.view(1280, 900)
    browser.go(site.full("/evalkit/monitors"))
    focused = []
    for _ in range(12):
        browser.press("Tab", 9)
        focused.append(browser.run(
            "const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);"
            "return [one.tagName, one.textContent.trim().slice(0, 40), box.width > 0 && box.height > 0 && box.top >= 0,"
            " style.outlineStyle !== 'none' || style.boxShadow !== 'none']"
        ))  # fmt: skip
    assert focused[0][1] == "Skip to the content"
    assert [text for _, text, *_ in focused[1:4]] == ["evalkit", "Overview", "Models"]
    assert all(seen for _, _, seen, _ in focused), focused
    assert all(outlined for *_, outlined in focused), focused
    browser.go(site.full("/evalkit/monitors"))
    browser.press("Tab", 9)
    browser.enter()
    assert browser.run("return document.activeElement.id") == "main"


def test_a_filter_works_with_and_without_scripts(site: Any):
    browser = site.browser
    choose = "document.querySelector('select[name=state]').value = 'alert';"
    for on in (True, False):
        browser.scripts(on=on)
        try:
            browser.go(site.full("/evalkit/monitors"))
            if on:
                browser.run(
                    choose
                    + "document.querySelector('[name=state]').dispatchEvent(new Event('change', {bubbles: true}))"
                )
            else:
                browser.run(choose)
                browser.click("form.filters button")
            browser.until("return location.search.includes('state=alert') && !!document.querySelector('h1')")
            assert browser.run("return document.querySelector('[name=state]').value") == "alert"
            assert site.facts["monitor"] in browser.run("return document.body.innerText")
        finally:
            browser.scripts(on=True)


def follow(browser: Any, pattern: str) -> str:
    """Click the first visible link of the content whose address matches, and say where it led."""
    browser.run(
        "document.querySelectorAll('details').forEach(one => { one.open = true });"
        "[...document.querySelectorAll('main a')].find(one => new RegExp(arguments[0]).test(one.getAttribute('href'))"
        " && one.getClientRects().length).id = 'chosen'", pattern
    )  # fmt: skip
    browser.click("#chosen")
    browser.until("return !document.querySelector('#chosen') && document.readyState === 'complete'")
    assert browser.run("return document.title") not in {"Not here · evalkit", "This did not work · evalkit"}
    return str(browser.run("return document.body.innerText"))


def test_from_a_monitor_down_to_what_was_said(site: Any):
    browser = site.browser
    browser.view(1280, 2000)
    browser.go(site.full("/evalkit"))
    follow(browser, "^/evalkit/monitors/production$")
    follow(browser, "/windows/[0-9]+([?]|$)")
    assert re.search(r"p\d\d ", follow(browser, "/generations")) is not None


def test_from_the_list_of_models_down_to_a_sample(site: Any):
    browser = site.browser
    browser.go(site.full("/evalkit/models"))
    follow(browser, "^/evalkit/models/bot$")
    assert "fail" in follow(browser, "^/evalkit/models/bot/2").lower()
    assert re.search(r"p\d\d ", follow(browser, "/samples")) is not None


def test_from_the_alerts_down_to_the_window(site: Any):
    browser = site.browser
    browser.go(site.full("/evalkit/alerts"))
    follow(browser, "^/evalkit/alerts/[0-9a-f-]{36}")
    assert "Window of" in follow(browser, "/windows/[0-9]+([?]|$)")


@pytest.mark.parametrize("on", [True, False], ids=["with scripts", "without"])
def test_a_form_is_taken(site: Any, on: bool):
    browser = site.browser
    state = f"{site.url}/evalkit/api/v1/monitors/production"
    try:
        for action, after in (("pause", "paused"), ("resume", "active")):
            browser.scripts(on=on)
            browser.go(site.full("/evalkit/monitors/production"))
            browser.click(f"form[action$='/{action}'] button")
            deadline = time.monotonic() + 30
            while requests.get(state, timeout=60).json()["status"] != after:
                assert time.monotonic() < deadline, (action, browser.run("return document.body.innerText"))
                time.sleep(0.05)
            browser.until("return document.readyState === 'complete' && location.pathname.endsWith('/production')")
    finally:
        browser.scripts(on=True)


def test_mlflows_pages_are_there_on_the_same_port(site: Any):
    browser = site.browser
    browser.go(f"{site.url}/#/models")
    browser.until("return document.body.innerText.includes('pictures')")
    assert browser.run("return [window.planted || [], document.querySelectorAll('[data-planted]').length]") == [[], 0]


# The tests' own eyes


def test_a_page_that_runs_a_payload_is_seen(site: Any, payloads: tuple[str, ...]):
    browser = site.browser
    browser.go(site.full("/evalkit"))
    planted = browser.run(
        "const part = document.createElement('div'); part.innerHTML = arguments[0]; document.body.append(part);"
        "return document.querySelectorAll('[data-planted]').length", "".join(payloads)
    )  # fmt: skip
    assert planted >= 10
    refused = [one for one in browser.logs("browser") if "Content Security Policy" in one["message"]]
    assert refused, "the policy stops, and tells, what came through"
    assert browser.run("return window.planted || []") == []


def test_what_axe_should_see_is_seen(site: Any):
    browser = site.browser
    browser.go(site.full("/evalkit"))
    browser.run(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/x.png\"><select></select>')"
    )
    assert {"image-alt", "select-name"} <= {one["id"] for one in browser.check()}
