"""What applications send is hostile until it was read."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.ingest.records import Feedback, Generation, check_stream, parse_records
from metrics.errors import InputError


def test_an_array_and_lines_are_the_same() -> None:
    rows = [
        {"id": "a", "prompt": "p", "context": "one", "time": 5},
        {"kind": "feedback", "of": "a", "name": "n", "value": 1},
    ]
    array = parse_records(json.dumps(rows).encode())
    lines = parse_records(b"\n".join(json.dumps(row).encode() for row in rows) + b"\n\n")
    assert isinstance(array[0], Generation) and isinstance(array[1], Feedback)
    assert array[0] == lines[0]
    assert array[0].context == ["one"]
    assert abs(array[1].time - time.time() * 1000) < 60_000
    assert parse_records(b"") == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'[{"prompt": 1}]', "record 1 `prompt`"),
        (b'{"prompt": "a"}\n{"latency": -1}', "record 2 `latency`"),
        (b'[{"kind": "order"}]', "record 1: expected an object whose `kind`"),
        (b"[1]", "record 1: expected an object"),
        (b'[{"kind": "feedback", "of": "a", "name": "x", "value": NaN}]', "finite"),
        (b'[{"slices": {"a b": "c"}}]', "slices.a b"),
        (b'[{"time": 99999999999999}]', "more than a day ahead"),
        (b'[{"secret": 1}]', "record 1 `secret`"),
        (b'[{"prompt": "\\ud800"}]', "invalid JSON"),
        (b"nonsense", "invalid JSON"),
        (b"\xff\xfe", "invalid JSON"),
    ],
    ids=str,
)
def test_bad_records_are_told_by_place(body: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        parse_records(body)
    assert "\n" not in str(refused.value)


@given(st.text(max_size=200))
def test_every_text_comes_back(text: str) -> None:
    try:
        (record,) = parse_records(json.dumps([{"prompt": text}]).encode())
    except InputError:
        assert any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)
        return
    body = record.body()
    assert body.isascii()
    assert json.loads(body)["prompt"] == text


def test_names_of_streams() -> None:
    assert check_stream("support-bot:prod") == "support-bot:prod"
    for bad in ("", "../x", "a b", "x" * 101):
        with pytest.raises(InputError, match="cannot name a stream"):
            check_stream(bad)
