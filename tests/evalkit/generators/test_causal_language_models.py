"""Causal language models: batches, padding and seeds, likelihoods, formats."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.generators.base import Generation, Request
from evalkit.generators.catalogue import create
from evalkit.generators.causal_lm import CausalLanguageModel
from evalkit.generators.process import GeneratorProcess
from evalkit.generators.shards import make_shard
from evalkit.models import describe_model
from evalkit.outputs import read_shard
from metrics.errors import InputError

PROMPTS = ["hello", "a", "the quick brown", "xyz", ""]


def requests(offset: int = 0) -> list[Request]:
    return [Request(str(i), i, 17 * i + offset, p) for i, p in enumerate(PROMPTS)]


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9}])
def test_batch_does_not_matter(language_model: Path, settings: dict[str, float]) -> None:
    generator = create({"adapter": "transformers", "path": str(language_model)})
    settings = {"max_new_tokens": 8, **settings}
    together = [g.text for g in generator.generate(requests(), settings)]
    alone = [generator.generate([request], settings)[0].text for request in requests()]
    assert together == alone
    assert together == [g.text for g in generator.generate(requests()[::-1], settings)][::-1]
    if settings.get("temperature") == 1.0:
        assert together != [g.text for g in generator.generate(requests(offset=1), settings)]


def test_sampling_follows_the_model(language_model: Path) -> None:
    generator = create({"adapter": "transformers", "path": str(language_model)})
    many = [Request(str(i), i, i, "q") for i in range(3000)]
    made = generator.generate(many, {"max_new_tokens": 1, "temperature": 1.0})
    letters = "abcdefghijklmnopqrstuvwxyz "
    counts = np.array([sum(g.text == letter for g in made) for letter in letters])
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(language_model)
    expected = torch.softmax(model(torch.tensor([[letters.index("q") + 1]])).logits[0, -1], -1).detach().numpy()
    errors = np.sqrt(expected * (1 - expected) / len(many))[1:28]
    assert (np.abs(counts / len(many) - expected[1:28]) < 4.5 * errors).all()


def test_token_counts_and_stop(language_model: Path) -> None:
    generator = create({"adapter": "transformers", "path": str(language_model)})
    made = generator.generate([Request("0", 0, 0, "hello")], {"max_new_tokens": 6})[0]
    assert made.prompt_tokens == 5 and made.text is not None and 0 < len(made.text) <= 6
    stopped = generator.generate([Request("0", 0, 0, "hello")], {"max_new_tokens": 6, "stop": [made.text[1]]})[0]
    assert stopped.text == made.text.partition(made.text[1])[0]


def test_prompt_longer_than_the_context_is_an_error_of_its_sample(language_model: Path) -> None:
    generator = create({"adapter": "transformers", "path": str(language_model)})
    made = generator.generate([Request("0", 0, 0, "a" * 40), Request("1", 1, 1, "a")], {"max_new_tokens": 4})
    assert "the prompt has 40 tokens; with 4 new ones the model takes 28" in str(made[0].error)
    assert made[1].error is None


def test_unknown_setting(language_model: Path) -> None:
    generator = create({"adapter": "transformers", "path": str(language_model)})
    with pytest.raises(InputError, match="did you mean 'temperature'"):
        generator.generate(requests(), {"temprature": 1})


def test_likelihood_shard_is_exact(language_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = ["hello world", "a", "", "the end"]
    asked = [Request(str(i), i, 0, None, {"text": text}) for i, text in enumerate(texts)]
    with GeneratorProcess(describe_model(language_model)) as process:
        assert process.describe()["can_score_likelihood"] is True
        info = process.write_shard(asked, {}, tmp_path / "s.parquet", "likelihood")
    rows = read_shard(tmp_path / "s.parquet")[0].to_pylist()
    assert info.errors == 1 and rows[2]["error"] == "empty text" and rows[2]["nll"] is None
    model = AutoModelForCausalLM.from_pretrained(language_model)
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    for row, text in zip(rows, texts, strict=True):
        if text:
            ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
            logs = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
            exact = -logs.gather(1, ids[0, 1:, None]).sum().item()
            assert row["nll"] == pytest.approx(exact, rel=1e-5)
            assert (row["tokens"], row["bytes"], row["words"]) == (len(text), len(text), len(text.split()))


def test_pickled_weights_need_trust(language_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lm"
    shutil.copytree(language_model, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no .safetensors weights"):
        create(describe_model(folder))


def test_texts_are_batched_by_length_and_stored_in_their_own_order(language_model: Path, tmp_path: Path) -> None:
    model = CausalLanguageModel.from_description({"path": str(language_model)})
    words = ["the quick brown fox", "a", "quick brown", "fox", "the quick", "brown fox jumps", "it", "jumps over"]
    asked = [Request(f"s{i}", i, seed=i, prompt=word, row={"text": word}) for i, word in enumerate(words)]
    batches: list[list[int]] = []
    generate = model.generate
    settings = {"max_new_tokens": 3, "temperature": 1.0, "batch_size": 3}

    def seen(some: Sequence[Request], given: Mapping[str, Any]) -> list[Generation]:
        batches.append([len(request.prompt or "") for request in some])
        return generate(some, given)

    model.generate = seen  # type: ignore[method-assign]
    make_shard(model, asked, settings, tmp_path / "sampled.parquet")
    lengths = [length for batch in batches for length in batch]
    assert lengths == sorted(lengths, reverse=True) and [len(batch) for batch in batches] == [3, 3, 2]
    table, _ = read_shard(tmp_path / "sampled.parquet")
    assert table["sample_id"].to_pylist() == [request.sample_id for request in asked]
    assert table["position"].to_pylist() == list(range(len(words)))
    alone = [generate([request], settings)[0].text for request in asked]
    assert table["text"].to_pylist() == alone  # each with its own noise, whatever it was batched with
    make_shard(model, asked, {"batch_size": 3}, tmp_path / "scored.parquet", task="likelihood")
    scored, _ = read_shard(tmp_path / "scored.parquet")
    singly = [model.log_likelihoods([word], {})[0].nll for word in words]
    np.testing.assert_allclose(scored["nll"].to_pylist(), singly, rtol=1e-5)
