"""What checks are lent: judges with the monitor's daily budget, and the watched model's suite."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.config import Settings
from evalkit.monitoring.cadence import utc_text
from evalkit.monitoring.checks.base import Check
from evalkit.monitoring.definition import Definition
from judges.base import Usage, VerdictJudge
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.extractors.base import Extractor
    from evalkit.generators.process import GeneratorProcess
    from evalkit.monitoring.pictures import Pictures
    from evalkit.runner.subjects import Product
    from evalkit.session import Session
    from judges.desk import Desk
    from registry.entities import ModelVersion
    from registry.suite import Suite

_SUITE = "suite"
_GROUNDED = ("hallucination", "groundedness")


class ProjectTools:
    """Tools of one run of a monitor.

    Args:
        settings: of the project.
        definition: the monitor.
        spent: what its judges have cost on this UTC day already.
        now: what time it is, UTC milliseconds.
    """

    def __init__(self, settings: Settings, definition: Definition, spent: Usage, now: int) -> None:
        self._settings, self._definition, self._spent = settings, definition, spent
        self._now = now
        self._open = ExitStack()
        self._desks: dict[str, Desk] = {}
        self._session: Session | None = None
        self._extractors: dict[str, Extractor] = {}
        self._readers: dict[str, GeneratorProcess] = {}

    def close(self) -> None:
        """Release sessions and ledgers."""
        self._open.close()

    def judge(self, name: str, model: str | None) -> VerdictJudge:
        """A judge by file below the monitor's folder, by shipped name, or ``suite``.

        Raises:
            InputError: no such judge, or no model to ask.
        """
        from judges.loading import read_definition
        from judges.opening import open_judge
        from registry.judged import JUDGE_FILES, JudgeDefaults
        from registry.paths import confine

        defaults, folder = JudgeDefaults(), self._definition.folder
        if name == _SUITE:
            return self._judge_of_suite(model)
        found = read_definition(confine(folder, name, "`judge`") if name.endswith(JUDGE_FILES) else name)
        asked = model or found.model
        if asked is None:
            raise InputError(f"judge '{name}' has no model to ask; add `model: openai:/MODEL` to the check")
        return open_judge(found, self._desk(asked, defaults, folder))

    def evaluate(self, suite: str | None, *, anew: bool = False) -> Sequence[Any]:
        """Estimates of the watched model on its suite; `anew` generates again and leaves the registry as it is."""
        session, version, bound = self._watched()
        judged_by = bound
        if suite is not None and suite != bound.name:
            from registry.paths import confine
            from registry.suite import Suite

            judged_by = Suite.load(confine(self._definition.folder, suite, "`suite`"))
        if not anew:
            return session.evaluate(version, suite=judged_by).estimates
        from evalkit.own_database import own_url
        from evalkit.runner.engine import score
        from evalkit.runner.sources import read_sources, version_subject

        subject = version_subject(session.registry, version, judged_by)
        sources = read_sources(judged_by, session.registry, self._settings)
        with tempfile.TemporaryDirectory(prefix="evalkit-suite-") as home:
            ledger = own_url(self._settings, "judges")
            evaluation, _ = score(subject, judged_by, Path(home), sources=sources, ledger=ledger)
        if evaluation.status == "failed":
            why = evaluation.warnings[0] if evaluation.warnings else "no reason was recorded"
            raise InputError(f"{version.reference} gave nothing that can be scored: {why}")
        return evaluation.estimates

    def answer(self, prompts: Sequence[str], *, seed: int, generate: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the watched model says now to some prompts, in order; nothing of it is stored.

        Raises:
            InputError: the model cannot be asked, or gives nothing usable.
        """
        found = self._from_model(prompts, generate, "generate", seed)
        return [{"output": row["text"], "latency": row["latency"], "error": row["error"]} for row in found]

    def _from_model(
        self, texts: Sequence[str], generate: Mapping[str, Any], product: Product, seed: int = 0
    ) -> list[dict[str, Any]]:
        """Output rows of the watched model for some prompts, or for texts whose likelihood is asked."""
        from evalkit.generators.base import FOR_EVALKIT, Request
        from evalkit.generators.seeds import sample_seed
        from evalkit.outputs import read_shard
        from evalkit.runner.plan import GENERATED_SHARD, STORED_ADAPTERS
        from evalkit.runner.sources import version_subject
        from registry.spec import ScoreSpec, Task

        session, version, suite = self._watched()
        subject = version_subject(session.registry, version, suite)
        if subject.open is None or subject.generator.get("adapter") in STORED_ADAPTERS:
            raise InputError(f"{version.reference} holds stored outputs and cannot be asked")
        requests = [
            Request(str(place), place, sample_seed(seed, place), text, {"prompt": text})
            for place, text in enumerate(texts)
        ]
        settings = {name: value for name, value in generate.items() if name not in FOR_EVALKIT}
        task = Task(generate=dict(generate), score=(ScoreSpec(metric="latency"),))
        found: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory(prefix="evalkit-answers-") as folder, subject.open(task) as writer:
            for start in range(0, len(requests), GENERATED_SHARD):
                path = Path(folder) / f"{start}.parquet"
                writer.write_shard(requests[start : start + GENERATED_SHARD], settings, path, product)
                found += read_shard(path)[0].to_pylist()
        return found

    def log_likelihoods(
        self, model: str | None, texts: Sequence[str], settings: Mapping[str, Any]
    ) -> Sequence[tuple[float, int]]:
        """Negative log-likelihood in nats (NaN where it has none) and scored tokens of each text.

        Args:
            model: a folder of a Hugging Face causal language model below the monitor's folder, or ``hf:NAME``; it runs
                in a process of its own, and is loaded once for a run of the monitor. None is the watched model.
            texts: not empty.
            settings: ``max_length`` and ``stride``, in tokens; of the watched model what a task's `generate` has.

        Raises:
            InputError: no such model, or one that tells no likelihoods.
        """
        from evalkit.generators.base import Request
        from evalkit.outputs import read_shard

        if model is None:
            return [_likelihood(row) for row in self._from_model(texts, settings, "likelihood")]
        requests = [Request(str(place), place, 0, None, {"text": text}) for place, text in enumerate(texts)]
        with tempfile.TemporaryDirectory(prefix="evalkit-likelihoods-") as folder:
            path = Path(folder) / "likelihoods.parquet"
            self._reader(model).write_shard(requests, settings, path, task="likelihood")
            table, _ = read_shard(path)
        return [_likelihood(row) for row in table.select(["nll", "tokens"]).to_pylist()]

    def _reader(self, model: str) -> GeneratorProcess:
        if model not in self._readers:
            from evalkit.generators.process import GeneratorProcess
            from evalkit.models import describe_model
            from registry.paths import confine

            folder = self._definition.folder
            described = describe_model(model if model.startswith("hf:") else confine(folder, model, "`model`"))
            if described["adapter"] != "transformers":
                raise InputError(f"'{model}' is no Hugging Face language model; give its folder, or hf:owner/name")
            self._readers[model] = self._open.enter_context(GeneratorProcess(described, cwd=folder))
        return self._readers[model]

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Rows of a table file below the monitor's folder."""
        from evalkit.datasets.readers import iterate_rows
        from registry.paths import confine

        return [dict(row) for row in iterate_rows(confine(self._definition.folder, path, "file"))]

    def pictures(self, root: str) -> Pictures:
        """Reads images below `root`, a folder in the monitor's."""
        from evalkit.monitoring.pictures import Pictures
        from registry.paths import confine

        return Pictures(confine(self._definition.folder, root, "`root`"))

    def extractor(self, name: str) -> Extractor:
        """A feature extractor by name, or a ``.pt2`` file below the monitor's folder; loaded once for a run."""
        if name not in self._extractors:
            from evalkit.extractors.catalogue import load_extractor

            self._extractors[name] = load_extractor(name, folder=self._definition.folder)
        return self._extractors[name]

    def reference_features(self, dataset: str, column: str | None, extractor: str) -> NDArray[np.float32]:
        """Features ``[m, d]`` of a dataset's images, extracted once and kept in the project's folder.

        Args:
            dataset: a file or folder below the monitor's folder, or ``name@split`` of a registered one.
            column: where the images are; found by its usual names by default.
            extractor: as in `extractor`.

        Raises:
            InputError: the dataset cannot be read, or has no images.
        """
        from evalkit.datasets import load_dataset
        from evalkit.runner.feature_files import FEATURES
        from evalkit.runner.features import REFERENCE_SHARD, reference_features
        from evalkit.runner.shards import grid
        from evalkit.runner.sources import Reference
        from registry.paths import DATASET
        from registry.spec import Columns

        session = self._opened() if DATASET.match(dataset) else None
        registry = None if session is None else session.registry
        images = load_dataset(dataset, folder=self._definition.folder, columns=Columns(image=column), registry=registry)
        if not images.has("image") or not len(images):
            raise InputError(f"`reference: {dataset}` has no images; name their column with `reference_image:`")
        shards = reference_features(self._settings.home, Reference(images, "image"), self.extractor(extractor))
        return np.concatenate([shards.arrays(rows)[FEATURES] for rows in grid(len(images), REFERENCE_SHARD)])

    def too_late(self, check: Check, end: int) -> str:
        """Why today's model says nothing of a window: the window after it is over, too."""
        spec = self._definition.spec
        _, following = check.cadence.window(end)
        if self._now < following + spec.lateness:
            return ""
        return f"the window ended at {utc_text(end)}; the model that answers now is asked for the last window only"

    def _judge_of_suite(self, model: str | None) -> VerdictJudge:
        from judges.opening import open_judge
        from registry.scorers import judge_definition, model_of

        _, version, suite = self._watched()
        for task in suite.spec.tasks.values():
            for score in task.score:
                judged = score.judged
                if score.metric in _GROUNDED and judged is not None and judged.judge and judged.registered is None:
                    found = judge_definition(judged, suite.folder)
                    asked = model or model_of(judged, found, suite.spec.judge)
                    if asked is None:
                        raise InputError(
                            f"the suite '{suite.name}' names no model for its judges; add `model:` to the check"
                        )
                    return open_judge(found, self._desk(asked, suite.spec.judge, suite.folder))
        raise InputError(
            f"the suite '{suite.name}' of {version.reference} judges no groundedness by a model; "
            "name a judge, such as `judge: groundedness` with a `model:`"
        )

    def _watched(self) -> tuple[Session, ModelVersion, Suite]:
        model = self._definition.spec.model
        if model is None:
            raise InputError("the monitor watches no registered model; give it a `model: models:/name@champion`")
        session = self._opened()
        version = session.version(model)
        return session, version, session.registry.suite(version)

    def _opened(self) -> Session:
        from evalkit.session import open_session

        if self._session is None:
            self._session = self._open.enter_context(open_session(self._settings))
        return self._session

    def _desk(self, model: str, defaults: Any, folder: Path) -> Desk:
        from evalkit.judging.ledger import open_ledger
        from judges.budget import Budget
        from judges.clients.names import open_client
        from judges.desk import Desk
        from judges.prices import parse_price, price_of

        if model not in self._desks:
            ledger = open_ledger(self._settings)
            self._open.callback(ledger.close)
            budget = self._definition.spec.budget
            self._desks[model] = Desk(
                open_client(model, folder=folder),
                ledger,
                price=price_of(model) if defaults.price is None else parse_price(defaults.price),
                budget=None if budget is None else Budget.parse(budget),
                spent=sum((desk.spent for desk in self._desks.values()), self._spent),
            )
        return self._desks[model]


def _likelihood(row: Mapping[str, Any]) -> tuple[float, int]:
    return (math.nan if row["nll"] is None else float(row["nll"])), int(row["tokens"] or 0)
