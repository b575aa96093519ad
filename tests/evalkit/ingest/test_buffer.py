"""The buffer, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from evalkit.ingest.buffer import Appended, Buffer
from evalkit.ingest.records import Feedback, Generation


@pytest.fixture
def buffer(database_url: str) -> Iterator[Buffer]:
    made = Buffer(database_url)
    yield made
    made.close()


def some(prefix: str, count: int, **more: object) -> list[Generation]:
    return [Generation.model_validate({"id": f"{prefix}{i}", "prompt": f"p{i}", **more}) for i in range(count)]


def test_in_the_order_of_arrival_from_a_watermark_on(buffer: Buffer) -> None:
    assert buffer.append("bot", some("a", 3)) == Appended(3, 0)
    buffer.append("other", some("a", 2))
    first = buffer.read("bot", limit=2)
    assert [row.id for row in first] == ["a0", "a1"]
    assert first[0].values == {"prompt": "p0"}
    rest = buffer.read("bot", after=first[-1].seq)
    assert [row.id for row in rest] == ["a2"]
    assert buffer.streams() == {"bot": 3, "other": 2}
    assert Buffer(str(buffer.engine.url.render_as_string(hide_password=False)), "elsewhere").read("bot") == []


def test_sent_twice_counts_once(buffer: Buffer) -> None:
    buffer.append("bot", some("a", 3))
    assert buffer.append("bot", [*some("a", 3, output="changed"), *some("b", 1)]) == Appended(1, 3)
    assert [row.values.get("output") for row in buffer.read("bot")] == [None, None, None, None]


def test_hostile_texts_come_back(buffer: Buffer) -> None:
    nasty = "\0 '; DROP TABLE evalkit_ingested; -- \u202e \U0001f600"
    buffer.append("bot", [Generation(id="nul\0id", prompt=nasty, user="x\0y", slices={"tenant": nasty[:50]})])
    (row,) = buffer.read("bot")
    assert row.values["prompt"] == nasty
    assert buffer.of_person("x\0y") == [("bot", row.id, row.event_time)]


def test_a_watermark_never_passes_a_row_that_comes_later(buffer: Buffer) -> None:
    seen: list[int] = []
    with ThreadPoolExecutor(5) as pool:
        writers = [
            pool.submit(lambda k=k: [buffer.append("bot", some(f"{k}-{i}-", 5)) for i in range(20)]) for k in range(4)
        ]
        while not all(writer.done() for writer in writers) or buffer.read("bot", after=seen[-1] if seen else 0):
            seen += [row.seq for row in buffer.read("bot", after=seen[-1] if seen else 0)]
        for writer in writers:
            writer.result()
    assert len(seen) == len(set(seen)) == 400


def test_pruned_numbers_are_not_given_again(buffer: Buffer) -> None:
    buffer.append("bot", some("a", 3))
    last = buffer.read("bot")[-1].seq
    assert buffer.prune("bot", until=last - 1, before=2**60) == 2
    assert buffer.prune("bot", until=last, before=0) == 0
    assert buffer.prune("bot", until=last, before=2**60) == 1
    buffer.append("bot", some("b", 1))
    assert buffer.read("bot", after=last)[0].id == "b0"


def test_a_person_is_erased_with_what_was_said_later(buffer: Buffer) -> None:
    buffer.append("bot", [*some("a", 2, user="ann"), *some("b", 1, user="bob")])
    buffer.append("bot", [Feedback(of="a0", name="helpful", value=1), Feedback(of="b0", name="helpful", value=1)])
    found = buffer.of_person("ann")
    assert [key for _, key, _ in found] == ["a0", "a1"]
    assert buffer.erase("bot", [key for _, key, _ in found]) == 3
    assert [row.kind for row in buffer.read("bot")] == ["generation", "feedback"]
    assert buffer.of_person("ann") == []
