"""Stereotype pairs under the model that answers now: CrowS-Pairs' share, by kind, from real log-likelihoods."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.config import load_settings
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.followed import is_about, rules_of
from evalkit.monitoring.tools import ProjectTools
from judges.base import Usage
from metrics.bias.pairs import crows_pairs
from metrics.errors import InputError
from metrics.text.likelihood import token_log_likelihoods

_path = Path(__file__).parents[2] / "generators" / "conftest.py"
_spec = importlib.util.spec_from_file_location("generators_fixtures_of_stereotypes", _path)
assert _spec is not None and _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
language_model = _fixtures.language_model

PAIRS = [
    {"stereotype": f"old one {k}", "antistereotype": f"young one {k}", "about": "age" if k % 2 else "job"}
    for k in range(60)
]
CHECK = "{stereotypes: {pairs: pairs.jsonl, kind: about}}"


class Reader:
    """Finds stereotyped sentences likelier in pairs about age, the others in pairs about jobs."""

    late = ""

    def too_late(self, check: Any, end: int) -> str:
        return self.late

    def rows(self, path: str) -> list[dict[str, Any]]:
        assert path == "pairs.jsonl"
        return PAIRS

    def log_likelihoods(self, model: Any, texts: Any, settings: Any) -> list[tuple[float, int]]:
        assert model is None
        return [(self._nats(text), 3) for text in texts]

    @staticmethod
    def _nats(text: str) -> float:
        if text.endswith(" 59"):
            return math.nan
        likelier = "old" in text if int(text.rsplit(maxsplit=1)[-1]) % 2 else "young" in text
        return 1.0 if likelier else 2.0


def test_a_planted_preference_is_found_by_kind(bench: Any):
    found = bench.signals(bench.check(CHECK), [{"output": "x"}], Reader())
    assert found["stereotypes", ""].estimate.value == pytest.approx(29 / 59)
    assert found["stereotypes", ""].estimate.coverage == pytest.approx(59 / 60)
    assert found["stereotypes", "about=age"].estimate.value == 1
    assert found["stereotypes", "about=age"].estimate.low > 0.85
    assert found["stereotypes", "about=job"].estimate.value == 0


def test_only_todays_window_asks_and_the_alert_knows_no_better_direction(bench: Any):
    late = Reader()
    late.late = "the window ended long ago"
    (signal,) = bench.signals(bench.check(CHECK), [{"output": "x"}], late).values()
    assert (signal.verdict, signal.reason) == ("no data", late.late)
    check = bench.check(CHECK[:-1] + ", alert: {min: 0.4, max: 0.6}}")
    assert is_about(check, "stereotypes")
    assert set(rules_of(check)) == {"min", "max"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"stereotype": "a"}], "row 1 of the pairs has no sentence in 'antistereotype'"),
        ([{"stereotype": "a", "antistereotype": " "}], "row 1"),
        ([{"stereotype": "a", "antistereotype": "b" * 3000}], "1 to 2,000 characters"),
        ([{"stereotype": "a", "antistereotype": "b", "about": k} for k in range(60)], "'about' has 60 values"),
    ],
)
def test_pairs_that_cannot_be_asked_are_refused(bench: Any, rows: list[dict[str, Any]], message: str):
    reader = Reader()
    reader.rows = lambda path: rows  # type: ignore[method-assign]
    reader.log_likelihoods = lambda model, texts, settings: [(1.0, 1)] * len(texts)  # type: ignore[method-assign]
    with pytest.raises(InputError, match=message):
        bench.signals(bench.check(CHECK), [{"output": "x"}], reader)


def test_a_registered_language_model_is_asked(
    tmp_path: Path, empty_store: Path, language_model: Path, monkeypatch: pytest.MonkeyPatch
):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.chdir(tmp_path)
    (tmp_path / "evalkit.toml").write_text("")
    (tmp_path / ".evalkit").mkdir()
    shutil.copyfile(empty_store, tmp_path / ".evalkit" / "mlflow.db")
    shutil.copytree(language_model, tmp_path / "lm")
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": "a cat"}) + "\n")
    (tmp_path / "suite.yaml").write_text(
        "suite: s\ntasks: {t: {data: texts.jsonl, columns: {prompt: text}, score: [perplexity]}}\n"
    )
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    evalkit.register("lm", model="lm", suite="suite.yaml")
    text = "monitor: m\nmodel: models:/lm/1\nsource: {files: x, columns: {time: time}}\n"
    tools = ProjectTools(load_settings(tmp_path), Definition.from_text(text, tmp_path), Usage(), 0)
    sides = [[pair[name] for pair in tools.rows("pairs.jsonl")] for name in ("stereotype", "antistereotype")]
    try:
        made = [-nll for nll, _ in tools.log_likelihoods(None, [*sides[0], *sides[1]], {"time_limit": "90 s"})]
        with pytest.raises(InputError, match="leads out"):
            tools.rows("../pairs.jsonl")
    finally:
        tools.close()
    model, tokenizer = AutoModelForCausalLM.from_pretrained("lm"), AutoTokenizer.from_pretrained("lm")
    wanted = [[-nll for nll, _ in token_log_likelihoods(model, tokenizer, side)] for side in sides]
    assert made == pytest.approx([*wanted[0], *wanted[1]], rel=1e-4)
    assert crows_pairs(made[:60], made[60:]).value == crows_pairs(*wanted).value
