"""Image drift: KID decides by permutation, FID at a fixed number of images, and hostile references spoil nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evalkit.config import Settings
from evalkit.extractors.pixels import PixelExtractor
from evalkit.monitoring import api
from evalkit.monitoring.checks.base import Beside
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.followed import is_about, observed, rules_of
from evalkit.monitoring.pictures import Pictures
from evalkit.monitoring.states import merge_all, pack, unpack
from evalkit.monitoring.tools import ProjectTools
from judges.base import Usage
from metrics.drift.kernel import polynomial_discrepancy
from metrics.errors import InputError
from metrics.image.frechet import frechet_distance
from metrics.image.kernel import kernel_distance

COLUMNS = "id: id, time: time, image: picture"
PLAIN = "{images: {extractor: pixels, root: pictures}}"
WITH_REFERENCE = "{images: {extractor: pixels, root: pictures, reference: real, fid_at: 40}}"


def pixels(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    """Smooth random images uint8 ``[n, 4, 4, 3]``, brighter by `shift`."""
    random = np.random.default_rng(seed)
    base = random.normal(110 + shift, 20, size=(n, 1, 1, 1)) + random.normal(0, 15, size=(n, 4, 4, 3))
    return np.clip(base, 0, 255).astype(np.uint8)


def save(folder: Path, images: np.ndarray, prefix: str = "p") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{prefix}{place}.png" for place in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return names


def rows_of(names: list[str]) -> list[dict[str, Any]]:
    return [{"picture": name} for name in names]


@pytest.fixture
def tools(bench: Any) -> Callable[[], ProjectTools]:
    text = "monitor: m\nsource: {files: x, columns: {time: time}}\n"
    url = f"sqlite:///{bench.folder / 'unused.db'}"
    settings = Settings(bench.folder / ".evalkit", url, url, url, advisory=False)
    return lambda: ProjectTools(settings, Definition.from_text(text, bench.folder), Usage(), bench.start)


def test_numbers_against_a_reference_are_those_of_the_metrics(bench: Any, tools: Any):
    now, real = pixels(1, 60), pixels(2, 80)
    names = save(bench.folder / "pictures", now)
    save(bench.folder / "real", real)
    check = bench.check(WITH_REFERENCE, COLUMNS)
    found = bench.signals(check, rows_of(names), tools())
    features, reference = (PixelExtractor().extract(list(each)).features for each in (now, real))
    expected = kernel_distance(reference, features, subsets=1, subset_size=2)["value"]
    kid, fid = found["kid.reference", ""], found["fid.reference", ""]
    assert (kid.estimate.value, kid.estimate.low) == pytest.approx((expected.value, expected.low), rel=1e-6)
    assert (kid.verdict, kid.estimate.coverage) == ("no drift", 1.0)
    order = np.argsort(bench.window(check, rows_of(names)).hashes, kind="stable")[:40]
    assert fid.estimate.value == pytest.approx(frechet_distance(reference, features[order]).value, rel=1e-6)
    assert fid.estimate.n == 40


def test_a_planted_shift_is_drift_against_every_other(bench: Any, tools: Any):
    same, shifted = save(bench.folder / "pictures", pixels(1, 60)), None
    shifted = save(bench.folder / "pictures", pixels(3, 60, shift=25), "s")
    save(bench.folder / "real", pixels(2, 80))
    check = bench.check(WITH_REFERENCE, COLUMNS)
    quiet = check.measure(bench.window(check, rows_of(same)), tools()).states
    beside = Beside(baseline=quiet, previous=quiet)
    found = bench.signals(check, rows_of(shifted), tools(), beside)
    for key in ("kid.reference", "kid.baseline", "kid.previous"):
        assert found[key, ""].verdict == "drift"
        assert found[key, ""].p_value == pytest.approx(0.001)
    again = bench.signals(check, rows_of(save(bench.folder / "pictures", pixels(9, 60), "q")), tools(), beside)
    assert {again[key, ""].verdict for key in ("kid.reference", "kid.baseline", "kid.previous")} == {"no drift"}


def test_false_alarms_keep_to_their_level():
    alarms = sum(
        polynomial_discrepancy(*np.random.default_rng(seed).normal(size=(2, 40, 5)), permutations=99)["p_value"].value
        <= 0.05
        for seed in range(200)
    )
    assert alarms <= 20  # 10 expected; more than 20 happens once in 2,000 times


def test_the_test_s_value_is_kid(bench: Any):
    x, y = np.random.default_rng(1).normal(size=(2, 50, 6))
    value = polynomial_discrepancy(x, y + 0.3)["value"].value
    assert value == pytest.approx(kernel_distance(x, y + 0.3, subsets=1, subset_size=2)["value"].value, rel=1e-9)


def test_few_images_have_no_verdict(bench: Any, tools: Any):
    names = save(bench.folder / "pictures", pixels(1, 30))
    save(bench.folder / "real", pixels(2, 80))
    found = bench.signals(bench.check(WITH_REFERENCE, COLUMNS), rows_of(names), tools())
    assert found["kid.reference", ""].verdict == "no drift"
    assert found["fid.reference", ""].verdict == "insufficient data"
    assert "computed at 40" in found["fid.reference", ""].reason
    fewer = bench.signals(bench.check(WITH_REFERENCE, COLUMNS), rows_of(names[:10]), tools())
    assert {fewer[key, ""].verdict for key in ("kid.reference", "fid.reference")} == {"insufficient data"}
    assert found["kid.baseline", ""].verdict == "learning"


def test_a_floor_makes_traces_negligible_and_small_samples_undecided(bench: Any, tools: Any):
    names = save(bench.folder / "pictures", pixels(3, 60, shift=25))
    save(bench.folder / "real", pixels(2, 80))
    lofty, tiny = (WITH_REFERENCE.replace("fid_at: 40", f"floor: {floor}") for floor in ("100", "1.0e-9"))
    high = bench.signals(bench.check(lofty, COLUMNS), rows_of(names), tools())
    assert high["kid.reference", ""].verdict == "negligible"
    same = save(bench.folder / "pictures", pixels(5, 60), "same")
    low = bench.signals(bench.check(tiny, COLUMNS), rows_of(same), tools())
    assert low["kid.reference", ""].verdict == "insufficient data"


def test_hostile_references_are_unscored_and_spoil_nothing(bench: Any, tools: Any, tmp_path_factory: Any):
    folder = bench.folder / "pictures"
    names = save(folder, pixels(1, 40))
    outside = tmp_path_factory.mktemp("outside")
    (secret,) = save(outside, pixels(4, 1))
    (folder / "link.png").symlink_to(outside / secret)
    (folder / "text.png").write_text("no image")
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folder / "other-size.png")
    hostile = [
        "../monitor.yaml", str(outside / secret), f"file://{outside / secret}", "link.png", "text.png", "gone.png",
        "other-size.png", "https://example.org/a.png", "s3://bucket/a.png", "file://host/a.png", "file://[", "a\0b",
    ]  # fmt: skip
    check = bench.check(PLAIN, COLUMNS)
    measured = check.measure(bench.window(check, rows_of([*names, *hostile])), tools())
    (unreadable,) = [s for s in check.signals(measured.states, Beside()) if s.key == "unreadable"]
    assert unreadable.estimate.value * unreadable.estimate.n == pytest.approx(len(hostile))
    assert any("images cannot be used" in note for note in measured.notes)
    clean = check.measure(bench.window(check, rows_of(names)), tools()).states
    (key,) = [key for key in clean if key[0].startswith("features.")]
    assert len(measured.states[key].arrays["vectors"]) == len(names)


def test_uris_below_the_root_are_read(tmp_path: Path):
    (name,) = save(tmp_path / "a b", pixels(1, 1))
    pictures = Pictures(tmp_path)
    expected = pictures.read(f"a b/{name}")
    np.testing.assert_array_equal(pictures.read(f"file://{tmp_path}/a%20b/{name}"), expected)
    with pytest.raises(InputError, match="no folder"):
        Pictures(tmp_path / "nowhere")


def test_windows_merge_into_one_sample(bench: Any, tools: Any):
    folder = bench.folder / "pictures"
    days = [save(folder, pixels(day, 30), f"d{day}-") for day in range(2)]
    check = bench.check("{images: {extractor: pixels, root: pictures, sample: 40/day}}", COLUMNS)
    parts = [check.measure(bench.window(check, rows_of(names), day), tools()).states for day, names in enumerate(days)]
    merged = merge_all([unpack(pack(part)) for part in parts])
    (key,) = [key for key in merged if key[0].startswith("features.")]
    assert len(merged[key].arrays["vectors"]) == 40
    assert {s.key for s in check.signals(merged, Beside())} == {"unreadable", "kid.baseline", "kid.previous"}


def test_another_extractor_s_features_are_not_compared(bench: Any, tools: Any):
    class Other(PixelExtractor):
        def identity(self) -> dict[str, Any]:
            return {"extractor": "other"}

    names = save(bench.folder / "pictures", pixels(1, 30))
    check, lent = bench.check(PLAIN, COLUMNS), tools()
    before = check.measure(bench.window(check, rows_of(names)), lent).states
    lent.extractor = lambda name: Other()
    found = bench.signals(check, rows_of(names), lent, Beside(baseline=before))
    assert found["kid.baseline", ""].verdict == "insufficient data"


def test_one_image_of_each_cluster_is_compared(bench: Any, tools: Any):
    names = save(bench.folder / "pictures", pixels(1, 40))
    rows = [{"picture": name, "who": f"u{place // 2}"} for place, name in enumerate(names)]
    check = bench.check(PLAIN, COLUMNS + ", cluster: who")
    states = check.measure(bench.window(check, rows), tools()).states
    (key,) = [key for key in states if key[0].startswith("features.")]
    assert len(states[key].arrays["vectors"]) == 20


def test_a_program_of_ones_own_extracts(bench: Any, tools: Any):
    import torch

    class Means(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float().mean(dim=(2, 3)) / 255

    torch.set_num_threads(1)
    batch = torch.export.Dim("n", min=2, max=4096)
    shape = torch.zeros(4, 3, 4, 4, dtype=torch.uint8)
    torch.export.save(torch.export.export(Means(), (shape,), dynamic_shapes=({0: batch},)), bench.folder / "means.pt2")
    names = save(bench.folder / "pictures", pixels(1, 30))
    save(bench.folder / "real", pixels(2, 30, shift=40))
    text = "{images: {extractor: means.pt2, root: pictures, reference: real}}"
    assert bench.signals(bench.check(text, COLUMNS), rows_of(names), tools())["kid.reference", ""].verdict == "drift"


def test_alerts_read_tests_by_p_value_and_distances_by_interval(bench: Any, tools: Any):
    names = save(bench.folder / "pictures", pixels(1, 60))
    save(bench.folder / "real", pixels(2, 80))
    for key, about in (("", "kid.baseline"), ("key: kid.reference, ", "kid.reference")):
        text = WITH_REFERENCE[:-1] + f", alert: {{{key}versus: baseline}}}}"
        check = bench.check(text, COLUMNS)
        assert is_about(check, about)
        (rule,) = rules_of(check).values()
        states = check.measure(bench.window(check, rows_of(names)), tools()).states
        signal = bench.signals(check, rows_of(names), tools(), Beside(baseline=states))[about, ""]
        seen, why = observed(check, rule, about, signal.estimate, signal.p_value)
        assert seen is not None, why
    with pytest.raises(InputError, match="needs `detector: threshold`"):
        rules_of(bench.check(WITH_REFERENCE[:-1] + ", alert: {max: 0.1}}", COLUMNS))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (PLAIN, "time: time", "images are read by reference"),
        ("{images: {root: pictures}}", COLUMNS, "extractor"),
        ("{images: {extractor: pixels, fid_at: 1}}", COLUMNS, "fid_at"),
    ],
)
def test_what_cannot_be_compared_is_refused(bench: Any, text: str, columns: str, message: str):
    with pytest.raises(InputError, match=message):
        bench.check(text, columns)


def test_a_monitor_follows_images_day_by_day(tmp_path: Path):
    rows = []
    for day in range(4):
        names = save(tmp_path / "log" / "pictures", pixels(day, 40, shift=30.0 if day == 3 else 0.0), f"{day}-")
        rows += [
            {"id": name, "time": 1_777_593_600_000 + day * 86_400_000 + place, "picture": name}
            for place, name in enumerate(names)
        ]
    (tmp_path / "log" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save(tmp_path / "real", pixels(99, 60))
    (tmp_path / "monitor.yaml").write_text(
        "monitor: prod\nsource: {files: log/rows.jsonl, columns: {id: id, time: time, image: picture}}\n"
        "baseline: 2d\nminimum: 20\nretention: {raw: 3000d}\n"
        "checks: [{images: {extractor: pixels, root: log/pictures, reference: real, fid_at: 30}}]\n"
    )
    url = f"sqlite:///{tmp_path / 'evalkit.db'}"
    settings = Settings(tmp_path / ".evalkit", url, url, url, advisory=False)
    api.apply(tmp_path / "monitor.yaml", schedule=False, settings=settings)
    report = api.run("prod", now=1_777_593_600_000 + 4 * 86_400_000 + 7_200_000, settings=settings)
    assert [one.window.status for one in report.windows] == ["ok"] * 4
    verdicts = {
        key: [one.signal.verdict for one in api.history("prod", check="images", key=key, settings=settings)]
        for key in ("kid.baseline", "kid.previous", "kid.reference")
    }
    assert verdicts["kid.baseline"] == ["learning", "learning", "no drift", "drift"]
    assert verdicts["kid.previous"] == ["no previous window", "no drift", "no drift", "drift"]
    assert verdicts["kid.reference"] == ["no drift", "no drift", "no drift", "drift"]
    fid = [
        one.signal.estimate.value for one in api.history("prod", check="images", key="fid.reference", settings=settings)
    ]
    assert fid[3] > 3 * max(fid[:3])
