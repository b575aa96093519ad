from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("sklearn")

from evalkit.demo import docs_bot, documentation
from registry.digests import file_digest


@pytest.fixture(scope="module")
def asked():
    return docs_bot.questions(0, 60)


def test_docstrings_are_those_that_python_shows():
    found = {entry.name: entry for entry in documentation.entries()}
    assert found["textwrap.dedent"].text == textwrap.dedent.__doc__.strip().replace("\n    ", "\n")
    assert found["textwrap.dedent"].summary == "Remove any common leading whitespace from every line in `text`."
    assert found["textwrap.TextWrapper.fill"].kind == "method"
    assert len(found) == len(documentation.entries()) > 2000
    assert not any(part.startswith("_") for name in found for part in name.split("."))


def test_answers_follow_from_the_docs(asked):
    found = {entry.name: entry for entry in documentation.entries()}
    for row in asked["what"]:
        name = row["question"].split("`")[1]
        assert row["answers"] == [found[name].summary]
    for row in asked["which"]:
        entry = found[row["answers"][0]]
        described = row["question"].partition(": ")[2]
        assert set(described.split()) <= set(entry.summary.split())
        assert not set(docs_bot.words(described)) & set(docs_bot.words(entry.name))
    for row in asked["unknown"]:
        assert row["question"].split("`")[1] not in found
        assert row["answers"] == [docs_bot.UNKNOWN]


def test_each_first_sentence_has_one_owner():
    summaries = [entry.summary for entry in docs_bot.answerable()]
    assert len(set(summaries)) == len(summaries) > 1000


def test_questions_repeat_with_the_seed(tmp_path: Path):
    first, again, other = (docs_bot.write(tmp_path / str(i), seed, 20) for i, seed in enumerate((0, 0, 1)))
    for kind in first:
        assert file_digest(first[kind]) == file_digest(again[kind]) != file_digest(other[kind])
        rows = [json.loads(line) for line in first[kind].read_text().splitlines()]
        assert len(rows) == 20 == len({row["id"] for row in rows})


def test_the_careful_bot_beats_the_careless_one_everywhere(asked):
    def share(bot, kind):
        return sum(bot(row["question"]) in row["answers"] for row in asked[kind]) / len(asked[kind])

    for kind, least in (("what", 0.9), ("which", 0.75), ("unknown", 0.95)):
        assert share(docs_bot.careful, kind) >= least
        assert share(docs_bot.careless, kind) <= 0.6


def test_the_careful_bot_takes_any_question():
    for question in ("", "?", "zzqx qqfv", "What does `../../etc/passwd` do?", "x" * 10_000):
        assert docs_bot.careful(question) == docs_bot.UNKNOWN


def test_language_data_keeps_modules_apart(tmp_path: Path):
    language = pytest.importorskip("evalkit.demo.language")
    parts = language.split(0)
    assert not {entry.module for entry in parts["train"]} & {entry.module for entry in parts["heldout"]}
    files = language.write(tmp_path, 0, texts=30, prompts=10)
    table = pq.read_table(files["heldout"])
    assert set(table["module"].to_pylist()) <= {entry.module for entry in parts["heldout"]}
    assert len(set(table["id"].to_pylist())) == table.num_rows == 30
    assert json.loads((tmp_path / "documentation.card.json").read_text())["licence"] == "PSF-2.0"


def test_the_baseline_lies_below_plain_bytes_and_above_nothing():
    language = pytest.importorskip("evalkit.demo.language")
    assert 2.0 < language.compressed_bits_per_byte(0) < 4.5


def test_a_language_model_trains_saves_and_loads(tmp_path: Path):
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evalkit.demo import language

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tiny = language.Size(layers=1, width=16, heads=2, steps=60, lr=1e-2, spread=0.1)
        trained = language.train_model(tmp_path / "model", seed=0, name="tiny", size=tiny)
    finally:
        torch.set_num_threads(before)
    losses = [value for _, value in trained.curves["loss"]]
    assert losses[-1] < losses[0] - 0.5
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert not list((tmp_path / "model").glob("*.bin"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    text = "Return the number of items, or None where there is none.\n\n\ttab"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert tokenizer.decode(ids[0]) == text
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, trained.module(ids).logits, atol=1e-4)
