"""Stored samples as people look at them: order, filters, images, what judges said."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evalkit.config import Settings
from evalkit.generators.images import to_png
from evalkit.outputs import SCHEMA
from evalkit.runner.verdicts import VerdictShards
from evalkit.server.api.project import open_project
from evalkit.views import gallery
from evalkit.views.gallery import Wanted
from evalkit.views.modes import reference_image
from evalkit.views.stored import GoneError, StoredTask, stored_task
from judges.base import SUSPECTED_INJECTION
from metrics.errors import InputError

SAMPLES = "/evalkit/models/bot/2/samples"
IMAGES = """\
suite: squares
tasks:
  squares:
    reference: real.npz
    outputs: made.parquet
    extractor: pixels
    score: [recall, coverage, memorization]
gate:
  rules:
    - {metric: squares/recall, min: 0.6}
    - {metric: squares/coverage, min: 0.5}
    - {metric: squares/memorization.copied, max: 0.01}
"""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project whose model draws one of two squares only, again and again."""
    from evalkit.session import Session
    from registry.store import Registry
    from registry.suite import Suite

    folder = tmp_path_factory.mktemp("squares")
    home = folder / ".evalkit"
    home.mkdir()
    shutil.copyfile(empty_store, home / "mlflow.db")
    rng = np.random.default_rng(0)
    dark, light = (rng.normal(level, 20, (150, 4, 4, 3)).clip(0, 255).astype(np.uint8) for level in (60, 190))
    np.savez(folder / "real.npz", images=np.concatenate([dark, light]))
    made = rng.normal(60, 20, (150, 4, 4, 3)).clip(0, 255).astype(np.uint8)
    made[:40] = made[0]
    made[100] = dark[5]
    images = [{"id": str(i), "image": to_png(pixels)} for i, pixels in enumerate(made)]
    pq.write_table(pa.Table.from_pylist(images), folder / "made.parquet")
    (folder / "suite.yaml").write_text(IMAGES)
    url = f"sqlite:///{home / 'mlflow.db'}"
    registry = Registry(url, url, artifact_root=home / "artifacts")
    session = Session(Settings(home, url, url, url, advisory=False), registry)
    version = registry.register("squares", model=str(folder / "made.parquet"), suite=Suite.load(folder / "suite.yaml"))
    session.decide(version, session.evaluate(version))
    registry.close()
    return folder


@pytest.fixture
def drawn_pages(drawn: Path, tmp_path: Path, pages: Any) -> Iterator[Any]:
    """The pages of a copy of that project."""
    folder = tmp_path / "drawn"
    shutil.copytree(drawn, folder)
    url = f"sqlite:///{folder / '.evalkit' / 'mlflow.db'}"
    found = open_project(Settings(folder / ".evalkit", url, url, url, advisory=False))
    yield type(pages)(found)
    found.registry.close()
    found.engine.dispose()


@pytest.fixture
def golden(project: Any) -> StoredTask:
    """The task of version 2 as it is stored."""
    registry = project.registry
    evaluation = registry.evaluations(registry.version("models:/bot/2"))[0]
    found = stored_task(project.settings.home, evaluation, "golden")
    assert found is not None
    return found


def test_worst_come_first_and_pages_follow(golden: StoredTask):
    first = gallery.gallery(golden, Wanted("exact_match", size=30))
    rest = gallery.gallery(golden, Wanted("exact_match", start=30, size=30))
    values = [next(one.value for one in s.scores if one.metric == "exact_match") for s in first.samples + rest.samples]
    assert len(values) == first.total == 40
    assert values == sorted(values) and values[0] == 0 and values[-1] == 1
    best = gallery.gallery(golden, Wanted("exact_match", order="best", size=40))
    assert best.samples[0].place != first.samples[0].place
    made = gallery.gallery(golden, Wanted("exact_match", order="made", size=40))
    assert [sample.place for sample in made.samples] == list(range(40))


def test_lower_is_better_turns_the_order(golden: StoredTask):
    slowest = gallery.gallery(golden, Wanted("latency", size=1)).samples[0]
    assert slowest.place == 39


def test_slices_and_unscored_are_filters(golden: StoredTask):
    german = gallery.gallery(golden, Wanted("exact_match", "language=de", size=40))
    assert german.total == 20 and all(sample.place % 2 == 0 for sample in german.samples)
    assert set(german.slices) == {"language=de", "language=en"}
    assert gallery.gallery(golden, Wanted("exact_match", unscored=True)).total == 0
    with pytest.raises(InputError, match="no slice 'country'"):
        gallery.gallery(golden, Wanted("exact_match", "country=de"))


def test_unscored_come_first(golden: StoredTask):
    folder = golden.home / "scores" / golden.record["metrics"]["exact_match"]["scores"].removeprefix("sha256:")[:12]
    (shard,) = folder.glob("rows-*.parquet")
    table = pq.read_table(shard)
    values = table["value"].to_pylist()
    values[7] = float("nan")
    reasons = table["reason"].to_pylist()
    reasons[7] = "empty output"
    table = table.set_column(table.column_names.index("value"), "value", [values])
    table = table.set_column(table.column_names.index("reason"), "reason", [reasons])
    pq.write_table(table, shard)
    found = gallery.gallery(golden, Wanted("exact_match", size=3))
    assert found.samples[0].place == 7 and found.unscored == 1
    (score, *_) = [one for one in found.samples[0].scores if one.metric == "exact_match"]
    assert (score.value, score.reason) == (None, "empty output")
    assert [s.place for s in gallery.gallery(golden, Wanted("exact_match", unscored=True)).samples] == [7]
    last = gallery.gallery(golden, Wanted("exact_match", order="best", size=40)).samples[-1]
    assert last.place == 7


def test_the_page_has_prompt_output_and_what_was_expected(pages: Any):
    seen = pages.get(f"{SAMPLES}?metric=exact_match&order=made")
    assert seen.status == 200
    assert "number 3" in seen.text and "1 to 24 of 40" in seen.text
    assert "document.title='pwned'" in seen.text  # as text
    assert not [given for tag, given in seen.tags if tag == "script" and "src" not in given]
    following = next(link for link in seen.links if "start=24" in link)
    again = pages.get(SAMPLES + following)
    assert "25 to 40 of 40" in again.text
    assert "order=made" in following


def test_answers_are_those_of_the_data_that_were_judged(pages: Any, evaluated: Path):
    def expected() -> list[tuple[str, ...]]:
        registry = pages.project.registry
        version = registry.version("models:/bot/2")
        evaluation = registry.evaluations(version)[0]
        task = stored_task(pages.project.settings.home, evaluation, "golden")
        answers = gallery.answers_of(pages.project, version, evaluation, task)
        return [s.expected for s in gallery.gallery(task, Wanted(None, size=2), answers).samples]

    gallery._answers.cache_clear()
    assert expected() == [("0",), ("1",)]
    gallery._answers.cache_clear()
    data = evaluated / "golden.jsonl"
    before = data.read_text()
    try:
        data.write_text(before.replace('"expected": ["0"]', '"expected": ["other"]'))
        assert expected() == [(), ()]
    finally:
        data.write_text(before)
        gallery._answers.cache_clear()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("task=none", 404), ("metric=none", 422), ("order=up", 422), ("start=-1", 422), ("slice=no%3Dway", 422),
        ("start=1000", 200), ("evaluation=1", 422), ("task=..%2F..", 422), ("metric=distinct_n", 422),
    ],
)  # fmt: skip
def test_what_there_is_not(pages: Any, query: str, status: int):
    assert pages.get(f"{SAMPLES}?{query}").status == status


def test_what_a_judge_said_is_shown_as_text(golden: StoredTask, pages: Any):
    record = {**golden.record["metrics"]["exact_match"], "verdicts": "sha256:" + "a" * 64}
    task = StoredTask(
        golden.home, "golden", {**golden.record, "metrics": {**golden.record["metrics"], "exact_match": record}}
    )
    assert all(not sample.said for sample in gallery.views(task, [0, 1]))  # a submission comes without them

    rows = [
        {
            "sample_id": f"q{i}", "value": None if i == 1 else 1.0, "reason": SUSPECTED_INJECTION if i == 1 else None,
            "rationale": f"because {i}", "flags": [SUSPECTED_INJECTION] if i == 1 else [],
        }
        for i in range(40)
    ]  # fmt: skip
    folder = golden.home / "verdicts" / ("a" * 12)
    folder.mkdir(parents=True)
    schema = VerdictShards.__init__.__globals__["_SCHEMA"]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "rows-000000000-000000040.parquet")
    first, second = gallery.views(task, [0, 1])
    assert (first.said[0].rationale, first.suspected) == ("because 0", False)
    assert (second.said[0].judge, second.suspected) == ("exact_match", True)


def test_gone_shards_are_told_apart_from_mistakes(golden: StoredTask):
    shutil.rmtree(golden.home / "scores")
    with pytest.raises((GoneError, InputError)):
        gallery.gallery(golden, Wanted("exact_match"))


def test_images_are_encoded_again_and_kept(drawn_pages: Any):
    seen = drawn_pages.get("/evalkit/models/squares/1/samples")
    sources = [str(given["src"]) for tag, given in seen.tags if tag == "img"]
    assert len(sources) == 24
    answer = drawn_pages.client.get(sources[0])
    assert answer.headers["content-type"] == "image/png"
    assert "max-age" in answer.headers["cache-control"] and answer.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (128, 128)  # enlarged, so that its pixels can be seen
    again = drawn_pages.client.get(sources[0], headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert drawn_pages.get(sources[0], who="x:").status == 401


def test_large_shards_give_the_same_images(drawn_pages: Any, monkeypatch: pytest.MonkeyPatch):
    registry = drawn_pages.project.registry
    evaluation = registry.evaluations(registry.version("models:/squares/1"))[0]
    task = stored_task(drawn_pages.project.settings.home, evaluation, "squares")
    small = [task.image_at(place) for place in (0, 7, 8, 149)]
    monkeypatch.setattr("evalkit.views.stored._KEPT_BYTES", 0)
    assert [task.image_at(place) for place in (0, 7, 8, 149)] == small
    assert len(set(small)) > 1


def test_only_images_that_are_outputs_of_the_version(drawn_pages: Any):
    source = next(
        str(given["src"]) for tag, given in drawn_pages.get("/evalkit/models/squares/1/samples").tags if tag == "img"
    )
    folder, _, query = source.rpartition("/")[0], None, source.partition("?")[2]
    for name in ("nobody", quote("../../../mlflow.db", safe=""), quote("a/../0", safe=""), "%00"):
        assert drawn_pages.get(f"{folder}/{name}.png?{query}").status == 404
    assert drawn_pages.get(source.partition("?")[0] + "?outputs=" + "0" * 12).status == 404
    assert drawn_pages.get(source.partition("?")[0] + "?outputs=%25").status == 422
    assert drawn_pages.get(source.replace("squares/1", "squares/2")).status == 404
    assert drawn_pages.get(f"/evalkit/models/squares/1/modes/{'a' * 32}/1.png").status == 404
    assert drawn_pages.get(source.replace("/images/squares/", "/images/a%22b/")).status == 422
    assert drawn_pages.get("/evalkit/models/squares/1/modes/..%2f..%2f..%2fx/1.png").status == 404


def test_kept_images_are_found_in_their_folder_only(tmp_path: Path):
    for place in ("pages/1.png", f"pages/modes/{'a' * 32}/1.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    assert reference_image(tmp_path, "a" * 32, 1) == b"x"
    assert reference_image(tmp_path, "..", 1) is None
    assert reference_image(tmp_path, "a" * 32, 2) is None


def test_an_output_that_is_no_image_is_not_served(drawn_pages: Any):
    (shard,) = (drawn_pages.project.settings.home / "outputs").glob("*/rows-*.parquet")
    table = pq.read_table(shard)
    hostile = [b"<svg onload=alert(1)>"] * table.num_rows
    pq.write_table(table.set_column(SCHEMA.names.index("image"), SCHEMA.field("image"), [hostile]), shard)
    sources = [
        str(given["src"]) for tag, given in drawn_pages.get("/evalkit/models/squares/1/samples").tags if tag == "img"
    ]
    assert drawn_pages.client.get(sources[0]).status_code == 404


def test_a_collapse_shows_what_is_missed_beside_what_repeats(drawn_pages: Any):
    seen = drawn_pages.get("/evalkit/models/squares/1")
    assert "Reference images that no output comes near" in seen.text
    sources = [str(given["src"]) for tag, given in seen.tags if tag == "img"]
    missed = [source for source in sources if "/modes/" in source]
    assert len(missed) >= 6
    for source in missed[:6]:  # of the largest group
        answer = drawn_pages.client.get(source)
        with Image.open(io.BytesIO(answer.content)) as image:
            assert np.asarray(image.convert("L")).mean() > 150  # all of them the light square
    assert len([source for source in sources if "/images/" in source]) == 12 + 6
    assert "Within less than 0.001 times" in seen.text  # forty copies
    again = drawn_pages.get("/evalkit/models/squares/1")  # from what was kept
    assert [given["src"] for tag, given in again.tags if tag == "img"] == sources


def test_a_copy_stands_beside_its_training_image(drawn_pages: Any):
    seen = drawn_pages.get("/evalkit/models/squares/1")
    assert "Outputs beside the nearest training image" in seen.text
    sources = [str(given["src"]) for tag, given in seen.tags if tag == "img"]
    copy = next(place for place, source in enumerate(sources) if "/images/squares/100.png" in source)
    assert "/modes/" in sources[copy + 1]
    pictures = []
    for source in sources[copy : copy + 2]:
        with Image.open(io.BytesIO(drawn_pages.client.get(source).content)) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    assert np.array_equal(*pictures)


def test_the_api_has_the_images_and_what_they_miss(drawn_pages: Any):
    (evaluation, *_) = drawn_pages.every("/models/squares/versions/1/evaluations")
    (first, *rest) = drawn_pages.every(f"/evaluations/{evaluation['id']}/samples", limit=100)
    assert first["image"] and all(one["text"] is None for one in rest)
    answer = drawn_pages.client.get(first["image"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    again = drawn_pages.client.get(first["image"], headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert drawn_pages.client.get(first["image"], headers={"x-actor": "x:"}).status_code == 401
    modes = drawn_pages.api(f"/evaluations/{evaluation['id']}/modes").json()
    assert modes["copies"] or modes["missed"]
    shown = [one["image"] for one in modes["copies"] if one["image"]] + [
        i for one in modes["missed"] for i in one["images"]
    ]
    for address in shown[:2]:
        assert drawn_pages.client.get(address).headers["content-type"] == "image/png"
    assert drawn_pages.api(f"/evaluations/{evaluation['id']}/modes/999999").status_code == 404


def test_images_are_labelled_beside_no_verdict(drawn_pages: Any):
    seen = drawn_pages.get("/evalkit/label")
    (link,) = [link for link in seen.links if link.startswith("/evalkit/label/squares/1/squares?")]
    seen = drawn_pages.get(link)
    assert seen.status == 200, seen.text
    (source,) = [str(given["src"]) for tag, given in seen.tags if tag == "img"]
    assert drawn_pages.client.get(source).headers["content-type"] == "image/png"
    form = {str(given["name"]): str(given["value"]) for tag, given in seen.tags if tag == "input" and given.get("name")}
    assert drawn_pages.post("/evalkit/label/squares/1/squares", {**form, "answer": "p"}).status_code == 303
    (label,) = drawn_pages.every("/labelling/squares/1/squares/labels")
    assert (label["value"], label["draw"]) == (1.0, 0)
    told = drawn_pages.api("/labelling/squares/1/squares").json()
    assert (told["labelled"], told["parts"][0]["title"] if told["parts"] else "prompt") == (1, "prompt")
    assert drawn_pages.client.get(told["image"]).headers["content-type"] == "image/png"
