"""Each image against its own reference or prompt, and columns against those of a reference, through the runner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from evalkit.datasets import Dataset
from evalkit.extractors import catalogue as extractors
from evalkit.extractors.base import Extracted
from evalkit.generators.base import Generation, Request
from evalkit.runner import file_subject, memory_subject, score
from metrics.errors import InputError
from metrics.image import perceptual_distance, psnr, ssim
from registry.entities import Evaluation
from registry.suite import Suite


def lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    file.write_text("\n".join(map(json.dumps, rows)))


def suite_of(folder: Path, task: str) -> Suite:
    body = "\n".join("    " + line for line in task.strip().splitlines())
    (folder / "suite.yaml").write_text(f"suite: columns\ntasks:\n  t:\n{body}\n")
    return Suite.load(folder / "suite.yaml")


def scored(folder: Path, task: str, subject: Any = None) -> Evaluation:
    evaluation, _ = score(subject or file_subject(), suite_of(folder, task), folder / "home")
    assert evaluation.status == "finished", evaluation.warnings
    return evaluation


def value(evaluation: Evaluation, name: str, slice_name: str = "") -> Any:
    return next(e.estimate for e in evaluation.estimates if e.name == f"t/{name}" and e.slice == slice_name)


class Noisy:
    """Gives back the original with noise, which it draws from the seed; every tenth one fails."""

    modality = "image"

    def __init__(self, originals: Sequence[np.ndarray]) -> None:
        self.originals = originals

    def image(self, request: Request) -> np.ndarray:
        noise = np.random.default_rng(request.seed).integers(-20, 21, (16, 16, 3))
        return np.clip(self.originals[request.position].astype(int) + noise, 0, 255).astype(np.uint8)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        return [Generation(error="none") if r.position % 10 == 9 else Generation(image=self.image(r)) for r in requests]


class Prompted:
    """Features of images are their mean colour; those of a text follow from its length."""

    name = "prompted"

    def identity(self) -> dict[str, Any]:
        return {"extractor": self.name}

    def extract(self, images: Sequence[Any]) -> Extracted:
        return Extracted(np.array([image.mean(axis=(0, 1)) for image in images], np.float32))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[len(text), 1.0, 2.0] for text in texts], np.float32)


@pytest.fixture
def originals(tmp_path: Path) -> list[np.ndarray]:
    """Thirty originals in files; the fourth row has none."""
    rng = np.random.default_rng(3)
    made = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(30)]
    rows = []
    for i, image in enumerate(made):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        rows.append({"prompt": "x" * (i + 1), "reference_image": f"{i}.png", "half": "ab"[i % 2]})
    lines(tmp_path / "pairs.jsonl", [*rows[:3], rows[3] | {"reference_image": None, "prompt": None}, *rows[4:]])
    return made


@pytest.fixture
def prompted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extractors._TARGETS, "prompted", (f"{__name__}:Prompted",))
    monkeypatch.setattr(extractors, "_make", lambda *target: Prompted())


def pairs(model: Noisy) -> tuple[list[np.ndarray], list[np.ndarray]]:
    requests = [Request(str(i), i, seed, None, {}) for i, seed in enumerate(seeds())]
    used = [r for r in requests if r.position % 10 != 9 and r.position != 3]
    return [model.image(r) for r in used], [model.originals[r.position] for r in used]


def seeds() -> list[int]:
    from evalkit.generators.seeds import sample_seed

    return [sample_seed(0, i) for i in range(30)]


def test_images_meet_their_own_references(tmp_path: Path, originals: list[np.ndarray]) -> None:
    model = Noisy(originals)
    task = "data: pairs.jsonl\ncolumns: {slices: [half]}\nscore: [psnr, ssim]"
    evaluation = scored(tmp_path, task, memory_subject(model))
    made, real = pairs(model)
    for name, peer in (("psnr", psnr), ("ssim", ssim)):
        found = value(evaluation, name)
        assert found.value == pytest.approx(peer(made, real).value, abs=1e-12)
        assert (found.n, found.coverage) == (26, pytest.approx(26 / 30))
        assert value(evaluation, name, "half=a").n == 15


def test_images_are_decoded_only_where_a_metric_reads_them(
    tmp_path: Path, originals: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr(Dataset, "find_image", lambda self, position, **_: decoded.append(position))
    task = "data: pairs.jsonl\ncolumns: {slices: [half]}\nscore: [distinct_n]"
    scored(tmp_path, task, memory_subject(Noisy(originals)))
    assert decoded == []
    scored(tmp_path, task.replace("distinct_n", "distinct_n, psnr"), memory_subject(Noisy(originals)))
    assert decoded == list(range(30))


def test_stored_images_beside_their_references(tmp_path: Path, originals: list[np.ndarray]) -> None:
    lines(
        tmp_path / "made.jsonl",
        [{"image": f"{(i + 1) % 30}.png", "reference_image": f"{i}.png"} for i in range(30)],
    )
    found = value(scored(tmp_path, "outputs: made.jsonl\nscore: [psnr]"), "psnr")
    assert found.value == pytest.approx(psnr([*originals[1:], originals[0]], originals).value, abs=1e-12)
    lines(tmp_path / "made.jsonl", [{"output": "a", "reference_image": "0.png"}])
    with pytest.raises(InputError, match=r"'psnr' compares images, but made.jsonl has none"):
        scored(tmp_path, "outputs: made.jsonl\nscore: [psnr]")


@pytest.mark.parametrize(("metric", "missing"), [("psnr", "reference_image"), ("clip_score", "prompt")])
def test_what_images_are_compared_with_is_missing(tmp_path: Path, metric: str, missing: str, prompted: None) -> None:
    lines(tmp_path / "rows.jsonl", [{"half": "a"}])
    for data in ("data: rows.jsonl", "n: 10"):
        with pytest.raises(InputError, match=f"'{metric}' compares each image .*map `{missing}`"):
            scored(tmp_path, f"{data}\nextractor: prompted\nscore: [{metric}]", memory_subject(Noisy([])))


def test_features_meet_those_of_their_own_references(
    tmp_path: Path, originals: list[np.ndarray], prompted: None
) -> None:
    model = Noisy(originals)
    task = "data: pairs.jsonl\nextractor: prompted\nscore: [perceptual_distance]"
    found = value(scored(tmp_path, task, memory_subject(model)), "perceptual_distance")
    made, real = pairs(model)
    extract = Prompted().extract
    assert found.value == pytest.approx(perceptual_distance(extract(made).features, extract(real).features).value)
    assert (found.n, found.coverage) == (26, pytest.approx(26 / 30))


def test_images_meet_their_prompts(tmp_path: Path, originals: list[np.ndarray], prompted: None) -> None:
    model = Noisy(originals)
    task = "data: pairs.jsonl\nextractor: prompted\nscore: [clip_score, psnr]"
    evaluation, work = score(memory_subject(model, identity="a"), suite_of(tmp_path, task), tmp_path / "home")
    found = value(evaluation, "clip_score")
    images = Prompted().extract(pairs(model)[0]).features.astype(float)
    texts = np.array([[i + 1.0, 1, 2] for i in range(30) if i % 10 != 9 and i != 3])
    cosine = (images * texts).sum(1) / np.linalg.norm(images, axis=1) / np.linalg.norm(texts, axis=1)
    assert found.value == pytest.approx(100 * cosine.mean(), rel=1e-6)
    assert found.n == 26
    assert work.counts["extracted_shards"] == 2
    _, again = score(memory_subject(model, identity="a"), suite_of(tmp_path, task), tmp_path / "home")
    assert again.counts["extracted_shards"] == 0


def test_a_shard_without_a_single_image_is_unscored(
    tmp_path: Path, originals: list[np.ndarray], prompted: None
) -> None:
    class Failing(Noisy):
        def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
            return [Generation(error="too dark" if r.position % 2 else "too bright") for r in requests]

    task = "data: pairs.jsonl\nextractor: prompted\nscore: [clip_score, perceptual_distance]"
    evaluation, _ = score(memory_subject(Failing(originals)), suite_of(tmp_path, task), tmp_path / "home")
    assert value(evaluation, "clip_score").coverage == 0
    assert value(evaluation, "perceptual_distance").coverage == 0


def test_an_extractor_without_texts_is_refused_for_prompts(tmp_path: Path, originals: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="the extractor 'pixels' embeds no texts; use one of CLIP"):
        scored(tmp_path, "data: pairs.jsonl\nextractor: pixels\nscore: [clip_score]", memory_subject(Noisy(originals)))


DRIFT = """
outputs: now.jsonl
reference: before.jsonl
columns: {output: said, slices: [half]}
score: [{ks: {column: score}}, {chi_square: {column: topic}}, {psi: {column: latency}}]
"""


@pytest.fixture
def windows(tmp_path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = np.random.default_rng(5)

    def window(n: int, shift: float) -> list[dict[str, Any]]:
        return [
            {
                "said": "x",
                "score": float(rng.normal(shift)),
                "topic": "abc"[int(rng.integers(3))],
                "latency": float(rng.exponential()),
                "half": "uv"[i % 2],
            }
            for i in range(n)
        ]

    before, now = window(300, 0), window(200, 0.5)
    lines(tmp_path / "before.jsonl", before)
    lines(tmp_path / "now.jsonl", now)
    return before, now


def test_columns_drift_against_those_of_the_reference(tmp_path: Path, windows: Any) -> None:
    before, now = windows
    evaluation = scored(tmp_path, DRIFT)
    peer = stats.ks_2samp([row["score"] for row in before], [row["score"] for row in now])
    assert value(evaluation, "ks").value == pytest.approx(peer.statistic)
    assert value(evaluation, "ks.p_value").value == pytest.approx(peer.pvalue)
    half = stats.ks_2samp([r["score"] for r in before], [r["score"] for r in now if r["half"] == "u"])
    assert value(evaluation, "ks", "half=u").value == pytest.approx(half.statistic)
    counts = [[sum(row["topic"] == topic for row in rows) for topic in "abc"] for rows in windows]
    assert value(evaluation, "chi_square").value == pytest.approx(stats.chi2_contingency(counts).statistic)
    assert value(evaluation, "psi").n == 200


def test_another_reference_scores_again(tmp_path: Path, windows: Any) -> None:
    first = value(scored(tmp_path, DRIFT), "ks").value
    lines(tmp_path / "before.jsonl", windows[1])
    assert first > 0 == value(scored(tmp_path, DRIFT), "ks").value


def test_a_reference_without_the_column_or_none_at_all(tmp_path: Path, windows: Any) -> None:
    lines(tmp_path / "before.jsonl", [{"scores": 1.0, "topic": "a", "latency": 1.0}])
    with pytest.raises(InputError, match=r"'ks' compares the column 'score' .*did you mean 'scores'.*before.jsonl has"):
        scored(tmp_path, DRIFT)
    with pytest.raises(InputError, match="'ks' compares with another column; name a `reference`"):
        scored(tmp_path, DRIFT.replace("reference: before.jsonl\n", ""))
    with pytest.raises(InputError, match=r"reference 'before.*has no images"):
        scored(tmp_path, "n: 10\nextractor: pixels\nreference: before.jsonl\nscore: [fid]", memory_subject(Noisy([])))
