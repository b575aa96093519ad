"""A bundle holds what a gate needs, and nothing that was not asked for."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from evalkit.bundles.recompute import recompute
from evalkit.bundles.unpack import extract, opened
from evalkit.bundles.verify import verify


def test_what_was_packed_gives_the_same_estimates_elsewhere(bundled: Any, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    with opened(bundled.path) as (archive, manifest):
        extract(archive, manifest, elsewhere)
    verify(manifest, bundled.version, bundled.suite, [])
    evaluation = manifest.evaluation({"bundle": manifest.bundle, "by": "ada"})
    made = recompute(elsewhere, manifest, evaluation)
    assert made == bundled.evaluation.estimates
    assert {item.slice for item in made} == {"", "language=de", "language=en"}


def test_packed_twice_it_is_the_same_bundle(bundled: Any, tmp_path: Path):
    from evalkit.bundles.pack import pack

    home = bundled.session.settings.home
    again = pack(home, bundled.plan, bundled.evaluation, bundled.version.artifact_digest, tmp_path / "again.zip")
    assert again.bundle == bundled.manifest.bundle
    with zipfile.ZipFile(bundled.path) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"manifest.json", "outputs", "scores"}
