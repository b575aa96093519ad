"""Monitor files: what they may say, and the one line about what they may not."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit.monitoring.cadence import DAY_MS, HOUR_MS, Cadence, parse_moment, utc_text
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.schema import PUBLISHED, monitor_schema, render
from evalkit.monitoring.template import TEMPLATE
from metrics.errors import InputError

EXAMPLE = """\
monitor: support-rag-prod
model: models:/support-rag@champion
source:
  traces: {experiment: support-prod}
  columns:
    {prompt: inputs.question, output: outputs.answer, context: span(retriever).outputs, slices: [tags.language]}
every: "0 * * * *"
lateness: 1h
retention: {raw: 30d, states: 400d}
redact: [email, phone]
checks:
  - {hallucination: {judge: suite, sample: 200/day}, alert: {max: 0.08}}
  - {toxicity: {}, alert: {versus: baseline}}
  - {drift: [prompt, output, embedding], against: [baseline, previous]}
  - {suite: support-rag, every: week}
budget: 10 USD/day
notify: [{slack: SLACK_WEBHOOK}]
"""
HEAD = "monitor: m\nsource: {files: x, columns: {time: time, slices: [language]}}\n"


def test_the_documented_example_is_read_and_fits_its_schema():
    definition = Definition.from_text(EXAMPLE, Path("."))
    assert [check.address for check in definition.checks] == [
        "hallucination",
        "toxicity",
        "drift",
        "suite",
        "operational",
    ]
    assert {check.cadence.text for check in definition.checks} == {"0 * * * *", "week"}
    assert definition.spec.checks[0].alert is not None
    assert definition.spec.checks[0].alert.max == 0.08
    validator = jsonschema.Draft202012Validator(monitor_schema())
    for text in (EXAMPLE, TEMPLATE):
        assert not list(validator.iter_errors(yaml.safe_load(text)))
    assert list(validator.iter_errors(yaml.safe_load(EXAMPLE.replace("toxicity", "toxicty"))))


def test_the_published_schema_is_current():
    assert PUBLISHED.read_text(encoding="utf-8") == render(), "run python -m evalkit.monitoring.schema"


def test_the_template_is_a_monitor():
    assert Definition.from_text(TEMPLATE, Path(".")).name == "my-model-prod"


def test_the_digest_is_of_what_is_said():
    one = Definition.from_text(EXAMPLE, Path("."))
    assert one.digest == Definition.from_text("# a comment\n" + EXAMPLE + "minimum: 200\n", Path("/")).digest
    other = Definition.from_text(EXAMPLE.replace("0.08", "0.09"), Path("."))
    assert one.digest != other.digest
    assert one.checks[0].identity == other.checks[0].identity, "a limit changes no state"
    assert one.source_digest == other.source_digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("monitor: m\n", "`source` is missing"),
        (HEAD + "chekcs: []\n", "monitor.yaml:3: unknown key 'chekcs'; did you mean 'checks'?"),
        (HEAD + "checks: [toxicty]\n", "did you mean 'toxicity'?"),
        (HEAD + "checks:\n  - {toxicity: {sampl: 3}}\n", "monitor.yaml:4: `toxicity`: sampl"),
        (HEAD + "checks:\n  - {drift: [langage]}\n", "monitor.yaml:4: no column 'langage'; did you mean 'language'?"),
        (HEAD + "checks:\n  - {groups: {of: [emptie]}}\n", "no score 'emptie'; did you mean 'empty'?"),
        (HEAD + "checks: [toxicity, toxicity]\n", "the name 'toxicity' is taken"),
        (HEAD + "checks: [{suite: s}]\n", "a suite judges a registered model"),
        (HEAD + "checks: [{toxicity: {}, drift: [output]}]\n", "name one check of"),
        (HEAD + "checks: [{toxicity: {}, alert: {}}]\n", "an alert needs"),
        (HEAD + "checks: [{toxicity: {}, slices: [tenant]}]\n", "no slice 'tenant'"),
        (HEAD + "every: fortnight\n", "monitor.yaml:3: `every`: cannot read 'fortnight'"),
        (HEAD + "every: day at 25:00\n", "'25:00' is no time of day"),
        (HEAD + "every: day at 06:00 Mars/Base\n", "there is no time zone 'Mars/Base'"),
        (HEAD + "lateness: soon\n", "expected a span such as 30m"),
        (HEAD + "budget: 5 USD\n", "for each day, such as '5 USD/day'"),
        (HEAD + "redact: [names]\n", "expected email, phone or module:function"),
        (HEAD + "notify: [{slack: https://hooks.example/secret}]\n", "`notify.0.slack`"),
        (HEAD + "start: lately\n", "is no date or time"),
        ("monitor: m\nsource: {files: ../up, columns: {time: t}}\n", "leads out of its folder"),
        ("monitor: m\nsource: {files: x}\n", "`columns` needs `time`"),
        ("monitor: m\nsource: {files: x, sql: {url: U, table: t}}\n", "a source is one of traces, sql and files"),
        ("monitor: m\nsource: {sql: {url: U, table: 't; drop'}, columns: {time: t}}\n", "`source.sql.table`"),
        (
            "monitor: m\nsource: {traces: {experiment: e}, columns: {output: answer}}\n",
            "'answer' is no field of a trace",
        ),
        ("[]", "a monitor is a mapping"),
    ],
)
def test_errors_name_line_and_remedy(text: str, says: str, tmp_path: Path):
    with pytest.raises(InputError) as error:
        Definition.from_text(text, tmp_path)
    assert says in str(error.value)
    assert str(error.value).startswith("monitor.yaml:")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["hour", "day", "day at 06:00 Europe/Berlin", "week", "month", "*/20 * * * *", "0 3 * * 1"]
)
def test_windows_touch_and_hold_their_moments(text: str):
    cadence = Cadence.parse(text)
    first = parse_moment("2026-03-20")
    windows = list(cadence.windows(first, first + 60 * DAY_MS))
    assert windows[0][0] <= first < windows[0][1]
    assert all(a[1] == b[0] for a, b in pairwise(windows))
    for start, end in windows[:200]:
        assert cadence.window(start) == cadence.window(end - 1) == (start, end)


def test_days_are_those_of_the_clock_on_the_wall():
    cadence = Cadence.parse("day at 06:00 Europe/Berlin")
    hours = {
        (end - start) // HOUR_MS
        for start, end in cadence.windows(parse_moment("2026-03-20"), parse_moment("2026-11-05"))
    }
    assert hours == {23, 24, 25}
    start, _ = cadence.window(parse_moment("2026-07-01T12:00Z"))
    assert utc_text(start) == "2026-07-01T04:00Z"
    assert datetime.fromtimestamp(Cadence.parse("week").window(start)[0] / 1000, UTC).weekday() == 0


@given(st.integers(0, 4_000_000_000_000))
def test_a_window_holds_its_moment(moment: int):
    for text in ("hour", "day at 02:30 America/New_York", "week", "month"):
        start, end = Cadence.parse(text).window(moment)
        assert start <= moment < end
