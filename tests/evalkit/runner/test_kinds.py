"""Images, likelihoods, stored outputs and models that give nothing usable, without a registry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.generators.base import Generation, LogLikelihood, Request
from evalkit.runner import file_subject, memory_subject, plan, score
from evalkit.runner.progress import Progress
from metrics.errors import InputError
from registry.entities import Evaluation
from registry.suite import Suite


def suite_of(folder: Path, text: str) -> Suite:
    (folder / "suite.yaml").write_text(text)
    return Suite.load(folder / "suite.yaml")


def value(evaluation: Evaluation, name: str, slice_name: str = "") -> Any:
    return next(e.estimate for e in evaluation.estimates if e.name == name and e.slice == slice_name)


class Blobs:
    """Draws 4x4 images from the request's seed; every tenth one fails."""

    modality = "image"

    def __init__(self) -> None:
        self.calls = 0

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        self.calls += len(requests)
        made = []
        for request in requests:
            image = np.random.default_rng(request.seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            failed = request.position % 10 == 9
            made.append(Generation(error="not finite") if failed else Generation(image=image))
        return made


IMAGES = """
suite: blobs
tasks:
  images:
    reference: real.npz
    n: 200
    extractor: pixels
    score: [fid, precision, {kid: {subset_size: 20, subsets: 5}}]
"""


@pytest.fixture
def images(tmp_path: Path) -> Suite:
    real = np.random.default_rng(1).integers(0, 256, (150, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", images=real)
    return suite_of(tmp_path, IMAGES)


def test_images_are_generated_extracted_and_compared(images: Suite, tmp_path: Path) -> None:
    seen: list[Progress] = []
    model = Blobs()
    evaluation, work = score(memory_subject(model, identity="a"), images, tmp_path / "home", progress=seen.append)
    assert evaluation.status == "finished", evaluation.warnings
    assert value(evaluation, "images/fid").n == 180
    assert value(evaluation, "images/precision").coverage == pytest.approx(0.9)
    assert evaluation.warnings == ("images: 20 of 200 outputs are unusable, most often: not finite",)
    assert seen[:2] == [Progress("images", "generate", 0, 1), Progress("images", "generate", 1, 1)]
    assert seen[-1] == Progress("", "store", 1, 1)
    again, work = score(memory_subject(model, identity="a"), images, tmp_path / "home")
    assert (model.calls, work.counts["generated_shards"], work.counts["extracted_shards"]) == (200, 0, 0)
    assert [e.estimate for e in again.estimates] == [e.estimate for e in evaluation.estimates]
    references = list((tmp_path / "home" / "references").iterdir())
    score(memory_subject(Blobs(), identity="b"), images, tmp_path / "home")
    assert list((tmp_path / "home" / "references").iterdir()) == references


def test_the_size_of_shards_changes_no_number(images: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = score(memory_subject(Blobs()), images, tmp_path / "a")
    monkeypatch.setattr(plan, "GENERATED_SHARD", 30)
    cut, work = score(memory_subject(Blobs()), images, tmp_path / "b")
    assert work.counts["generated_shards"] == 7
    for one, other in zip(whole.estimates, cut.estimates, strict=True):
        if one.metric not in {"latency", "throughput", "peak_memory"}:
            assert (one.name, other.name) == (one.name, one.name)
            for field in ("value", "low", "high"):
                expected = getattr(one.estimate, field)
                assert getattr(other.estimate, field) == (
                    None if expected is None else pytest.approx(expected, rel=1e-9)
                )


class Likelihoods:
    """One nat per word."""

    modality = "text"

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        raise AssertionError("only likelihoods are needed")

    def log_likelihoods(self, texts: Sequence[str], settings: Mapping[str, Any]) -> list[LogLikelihood]:
        return [LogLikelihood(nll=float(len(t.split())), tokens=2 * len(t.split())) for t in texts]


def test_likelihoods_are_asked_for_where_perplexity_is_scored(tmp_path: Path) -> None:
    rows = [{"text": f"some words {i} " + "more " * (i % 4), "module": f"m{i % 9}"} for i in range(60)]
    (tmp_path / "held_out.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = (
        "suite: lm\ntasks:\n  held_out:\n    data: held_out.jsonl\n"
        "    columns: {text: text, cluster: module}\n    score: [perplexity]\n"
    )
    evaluation, _ = score(memory_subject(Likelihoods()), suite_of(tmp_path, text), tmp_path / "home")
    assert value(evaluation, "held_out/perplexity").value == pytest.approx(np.exp(0.5))
    assert value(evaluation, "held_out/perplexity.bits_per_byte").value > 0


STORED = """
suite: stored
tasks:
  answers:
    data: golden.jsonl
    outputs: answers.jsonl
    columns: {id: id, prompt: question, expected: answer, output: said}
    score: [exact_match]
"""


def test_stored_outputs_are_matched_by_id(tmp_path: Path) -> None:
    golden = [{"id": f"q{i}", "question": f"{i}?", "answer": str(i)} for i in range(20)]
    said = [{"id": f"q{i}", "said": str(i) if i < 10 else "no", "latency": 0.1} for i in reversed(range(19))]
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, golden)))
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, said)))
    evaluation, _ = score(file_subject(), suite_of(tmp_path, STORED), tmp_path / "home")
    exact = value(evaluation, "answers/exact_match")
    assert (exact.value, exact.n) == (pytest.approx(10 / 19), 19)
    assert value(evaluation, "answers/latency").value == pytest.approx(0.1)
    assert not any(e.metric == "throughput" for e in evaluation.estimates)
    assert any("1 of 20 outputs are unusable, most often: no output" in w for w in evaluation.warnings)


def test_without_ids_the_numbers_of_rows_must_agree(tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text('{"question": "1?", "answer": "1"}\n{"question": "2?", "answer": "2"}')
    (tmp_path / "answers.jsonl").write_text('{"said": "1"}')
    suite = suite_of(tmp_path, STORED.replace("id: id, ", ""))
    with pytest.raises(InputError, match="1 outputs for 2 rows"):
        score(file_subject(), suite, tmp_path / "home")


class Broken:
    modality = "image"

    def __init__(self, image: Any) -> None:
        self.image = image

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        return [Generation(image=self.image) for _ in requests]


@pytest.mark.parametrize(
    "image", [np.full((4, 4, 3), np.nan), np.zeros((4, 4), np.uint8), np.zeros((0, 0, 3), np.uint8)]
)
def test_a_model_that_gives_nothing_usable_fails_with_one_line(images: Suite, tmp_path: Path, image: Any) -> None:
    evaluation, _ = score(memory_subject(Broken(image)), images, tmp_path / "home")
    assert evaluation.status == "failed"
    assert len(evaluation.warnings) == 1
    assert "failed in the same way" in evaluation.warnings[0]
    assert "\n" not in evaluation.warnings[0]


def test_all_outputs_unusable_for_different_reasons(images: Suite, tmp_path: Path) -> None:
    class Mixed(Broken):
        def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
            return [Generation(error="too dark" if r.position % 2 else "too bright") for r in requests]

    evaluation, _ = score(memory_subject(Mixed(None)), images, tmp_path / "home")
    assert evaluation.status == "failed"
    assert np.isnan(value(evaluation, "images/fid").value)
    assert value(evaluation, "images/fid").coverage == 0
    assert any("200 of 200 outputs are unusable" in warning for warning in evaluation.warnings)


def test_an_identifier_is_no_slice(tmp_path: Path) -> None:
    golden = [{"id": f"q{i}", "question": f"{i}?", "answer": str(i), "even": str(i % 2 == 0)} for i in range(300)]
    said = [{"id": f"q{i}", "said": str(i)} for i in range(300)]
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, golden)))
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, said)))
    text = STORED.replace("output: said", "output: said, slices: [question, even]")
    evaluation, _ = score(file_subject(), suite_of(tmp_path, text), tmp_path / "home")
    assert {e.slice.partition("=")[0] for e in evaluation.estimates} == {"", "even"}
    assert evaluation.warnings == ("answers: slice 'question' has 300 values, more than 200; it is left out",)


def test_a_constant_model_is_warned_about(images: Suite, tmp_path: Path) -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    evaluation, _ = score(memory_subject(Broken(picture)), images, tmp_path / "home")
    assert evaluation.status == "finished"
    assert any("all 200 usable outputs are identical" in w for w in evaluation.warnings)


def test_a_task_without_generator_or_outputs_is_refused(images: Suite, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="generates nothing"):
        score(file_subject(), images, tmp_path / "home")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    n: 200\n", ""), "has no `data` and no `n`"),
        (("    reference: real.npz\n", ""), "reference"),
        (("    extractor: pixels\n", ""), "extractor"),
        (("[fid, ", "[fid, {fid: {}}, "), "twice"),
        (("extractor: pixels", "extractor: pixel"), "did you mean 'pixels'"),
    ],
)
def test_an_incomplete_task_is_refused_before_anything_is_made(
    images: Suite, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        score(memory_subject(Blobs()), suite_of(tmp_path, IMAGES.replace(*change)), tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_an_unknown_preset_is_refused(images: Suite, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no preset 'quick'"):
        score(memory_subject(Blobs()), images, tmp_path / "home", preset="quick")


def test_data_that_the_model_was_trained_on_is_flagged(tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "golden.jsonl").write_text('{"id": "1", "question": "1?", "answer": "1"}')
    (tmp_path / "answers.jsonl").write_text('{"id": "1", "said": "1"}')
    suite = suite_of(tmp_path, STORED)
    fair, _ = score(file_subject(), suite, tmp_path / "home")
    assert not any("training data" in w for w in fair.warnings)
    unfair, _ = score(replace(file_subject(), training_data=("golden.jsonl",)), suite, tmp_path / "home")
    assert any("card lists the task's data (golden.jsonl) as training data" in w for w in unfair.warnings)
