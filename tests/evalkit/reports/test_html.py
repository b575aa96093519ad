import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evalkit.reports import charts, html, scorecard
from evalkit.reports.samples import Sample

PAYLOADS = [
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "<svg onload=\"document.title='pwned'\">",
    "\"><script>document.title='pwned'</script>",
    "'><script>document.title='pwned'</script>",
    "</title><script>document.title='pwned'</script>",
    "</style><script>document.title='pwned'</script>",
    "</div></td></tr></table><script>document.title='pwned'</script>",
    "<iframe srcdoc=\"<script>parent.document.title='pwned'</script>\"></iframe>",
    "<a href=\"javascript:document.title='pwned'\" autofocus onfocus=\"document.title='pwned'\">x</a>",
    "<body onload=\"document.title='pwned'\">",
    "<details open ontoggle=\"document.title='pwned'\">",
    "<meta http-equiv=refresh content='0;url=javascript:document.title=\"pwned\"'>",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<form action=https://evil.example><input autofocus onfocus=\"document.title='pwned'\">",
    "<object data=\"data:text/html,<script>document.title='pwned'</script>\"></object>",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{% include '/etc/passwd' %}",
    "<math><mtext><table><mglyph><style><img src onerror=\"document.title='pwned'\">",
    "<!--><script>document.title='pwned'</script>-->",
    "\u202e\x00\x1b]0;pwned\x07<b>bold</b>",
    "&lt;script&gt;document.title='pwned'&lt;/script&gt;",
    "` onmouseover=\"document.title='pwned'\" style=position:fixed;inset:0",
]
VOID = {"meta", "img", "br", "input", "link", "base", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; notes every tag that is closed wrongly."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if not self._open or self._open[-1] not in {"style", "title"}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def hostile(records, payload):
    """A scorecard with the payload in every place that a model, a data set or a suite author can write."""
    decision = records.decision()
    rule = replace(decision.rules[0], reason=payload, rule=payload, slice=f"language={payload}", against=payload)
    evaluation = records.evaluation(warnings=(payload,))
    first = evaluation.estimates[0]
    evil = replace(first, slice=f"language={payload}", estimate=replace(first.estimate, method=payload))
    samples = [
        Sample("answers", payload, prompt=payload, text=payload, expected=(payload,), scores={"token_f1": 0.1}),
        Sample("answers", "u", prompt=payload, reason=payload, scores={"token_f1": None}),
        Sample("images", payload, prompt=payload, image=records.png(), reason=payload),
        Sample("images", "broken", image=payload.encode()),
    ]
    return scorecard.build(
        records.version(name=payload, kind=payload, source=payload, aliases=(payload,)),
        records.suite(description=payload),
        replace(evaluation, estimates=(*evaluation.estimates, evil)),
        decision=replace(decision, rules=(rule, *decision.rules[1:]), notes=(payload,)),
        champion=records.evaluation(1),
        champion_version=records.version(1),
        samples=samples,
        specs=records.SPECS,
    )


def assert_harmless(page):
    active = {"script", "iframe", "object", "embed", "link", "base", "form", "input", "math", "video"}
    assert not active & set(page.tags)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    for _, name, value in page.attributes:
        if name in {"href", "src", "action", "data", "xlink:href", "srcset"}:
            assert value.startswith(("data:image/png;base64,", "#")), (name, value)


def test_page_is_well_formed_and_self_contained(card):
    text = html.render(card)
    page = Page(text)
    assert page.wrong == []
    assert_harmless(page)
    links = {value for _, name, value in page.attributes if "://" in value}
    assert links <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    policies = [value for tag, _, value in page.attributes if tag == "meta" and "default-src" in value]
    assert len(policies) == 1 and policies[0].startswith(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    )


def test_verdict_comes_first_and_everything_is_said(card):
    text = Page(html.render(card)).text
    assert text.index("fail") < text.index("digits-gan version 2") < text.index("1 of 3 rules broken")
    assert "Not measured: the suite has no safety metric." in text
    assert "no valid interval at n=1000" in text
    assert "no interval: no " not in text
    assert "96 % scored" in text
    assert "About 1,200 more samples would decide." in text
    assert "12.31 (no interval)" in text
    assert "Warnings" in text and "3 % of the outputs" in text


def test_tables_have_scopes_and_pictures_have_texts(card):
    page = Page(html.render(card))
    assert page.tags.count("th") > 20
    assert page.tags.count("th") == sum(1 for t, n, _ in page.attributes if (t, n) == ("th", "scope"))
    assert page.tags.count("img") == sum(1 for t, n, v in page.attributes if (t, n) == ("img", "alt") and v)
    charts_said = [v for t, n, v in page.attributes if (t, n) == ("div", "aria-label")]
    assert "images/recall: 0.212 [0.191, 0.233]; champion 0.222 [0.198, 0.246]; limit 0.45" in charts_said


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_stays_text(records, payload):
    page = Page(html.render(hostile(records, payload)))
    assert page.wrong == []
    assert_harmless(page)
    printable = "".join(c if c.isprintable() else "�" for c in payload)
    assert page.text.count(printable) >= 10
    assert "\x00" not in page.text and "\x1b" not in page.text


@given(st.text(max_size=60))
def test_any_text_keeps_the_page_well_formed(records, text):
    sample = Sample("answers", "s", prompt=text, text=text, expected=(text,), scores={"token_f1": 0.5})
    made = scorecard.build(
        records.version(), records.suite(), records.evaluation(estimates=()), samples=[sample], specs=records.SPECS
    )
    page = Page(html.render(made))
    assert page.wrong == []
    assert_harmless(page)


@pytest.mark.chromium
def test_no_hostile_script_runs_in_a_browser(records, chromium, tmp_path):
    pages = [html.render(hostile(records, payload)) for payload in PAYLOADS]
    everything = tmp_path / "all.html"
    # One page that holds every payload's page in full: the browser's own parser is the judge.
    body = "".join(page[page.index("<main>") : page.index("</main>") + 7] for page in pages)
    everything.write_text("<!doctype html><title>quiet</title>" + body, encoding="utf-8")
    dom = chromium(everything)
    assert "<title>quiet</title>" in dom
    assert dom.count("<main>") == len(PAYLOADS)
    assert "<script" not in dom and "<iframe" not in dom


@pytest.mark.chromium
def test_the_browser_would_have_run_an_unescaped_script(chromium, tmp_path):
    page = tmp_path / "unsafe.html"
    page.write_text(f"<!doctype html><title>quiet</title>{PAYLOADS[0]}", encoding="utf-8")
    assert "<title>pwned</title>" in chromium(page)


@pytest.mark.chromium
def test_the_policy_stops_a_script_that_got_in(records, card, chromium, tmp_path):
    page = tmp_path / "planted.html"
    page.write_text(html.render(card).replace("<main>", f"<main>{PAYLOADS[0]}"), encoding="utf-8")
    assert "<title>pwned</title>" not in chromium(page)


def test_images_are_decoded_and_encoded_again(records):
    source = records.png(50)
    data, tiny = html.reencoded(source + b"<script>appended</script>")
    assert tiny and b"script" not in data
    assert Image.open(io.BytesIO(data)).tobytes() == Image.open(io.BytesIO(source)).tobytes()


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_unreadable_images_are_named_so(data):
    assert html.reencoded(data) is None


def test_huge_images_are_not_decoded():
    buffer = io.BytesIO()
    Image.new("1", (5000, 5000)).save(buffer, "PNG")
    assert html.reencoded(buffer.getvalue()) is None


def test_large_images_are_scaled_down(records):
    data, tiny = html.reencoded(records.png(10, 500))
    assert not tiny and Image.open(io.BytesIO(data)).size == (192, 192)


def test_long_texts_are_cut_and_say_so():
    cut = html.shown("a" * 5000)
    assert len(cut) < 2100 and cut.endswith("… (5,000 characters)")


def test_plain_boxes_stand_in_where_no_chart_library_is_installed(card, monkeypatch):
    monkeypatch.setattr(charts, "svg", lambda drawn: None)
    page = Page(html.render(card))
    assert page.wrong == [] and "svg" not in page.tags
    assert ("i", "class", "limit") in page.attributes


def test_a_missing_library_is_not_an_error(card, monkeypatch):
    def missing(drawn):
        raise ImportError("altair")

    monkeypatch.setattr(charts, "_svg", missing)
    assert "boxes" in html.render(card)


def test_chart_positions_and_scale(card):
    recall = next(line for s in card.sections for line in s.lines if line.name == "images/recall")
    drawn = charts.plot(recall)
    assert drawn.low < 0.188 and drawn.high > 0.45
    assert 0 < drawn.position(0.212) < drawn.position(0.45) < 100
    assert drawn.position(-9) == 0 and drawn.position(9) == 100
    flat = charts.plot(
        replace(recall, champion=None, rules=(), estimate=replace(recall.estimate, low=None, high=None, value=0.0))
    )
    assert flat.low < 0 < flat.high
    empty = replace(recall, estimate=replace(recall.estimate, value=float("nan"), low=None, high=None))
    assert charts.plot(empty) is None


def test_the_same_scorecard_renders_to_the_same_bytes(card):
    assert html.render(card) == html.render(card)
