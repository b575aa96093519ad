"""``evalkit judge calibrate | label | rate | plan | rank``, and the group that holds them and ``list | run | cost``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.cli.judge_work import cost, list_judges, run
from evalkit.cli.label import label
from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url
from metrics.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from judges.base import Sample, Verdict

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False)
_ROWS = (".jsonl", ".jsonl.gz", ".ndjson", ".csv", ".csv.gz")


def labels_options(function: F) -> F:
    """Add ``--labels`` and what its words count as."""
    function = click.option(
        "--word", "words", multiple=True, metavar="WORD=NUMBER", help="What a label that is a word counts as."
    )(function)
    return click.option("--labels", "labels_file", type=FILE, required=True, help="Labels, CSV or JSON lines.")(
        function
    )


def samples_options(function: F) -> F:
    """Add ``--samples`` and the column of clusters."""
    function = click.option("--cluster", help="Column of --samples that names a sample's cluster.")(function)
    return click.option(
        "--samples", "samples_file", type=FILE, help="What was judged, CSV or JSON lines: id, output, prompt, …"
    )(function)


@click.group(short_help="Measure judges before they are trusted.")
def judge() -> None:
    """Measure judges against people, and get from their verdicts to rates and rankings that are right."""


for _command in (label, list_judges, run, cost):
    judge.add_command(_command)


@judge.command(short_help="How far a judge agrees with people.")
@click.argument("name_or_file")
@labels_options
@click.option(
    "--verdicts", "verdicts_file", type=FILE, help="Recorded verdicts; NAME_OR_FILE is then the judge's name."
)
@samples_options
@click.option("--by", multiple=True, help="Column of --samples to report apart; may be repeated.")
@click.option("--threshold", type=float, help="Verdicts of at least this pass; default: above 0.5, and 0.5 is a tie.")
@click.option("--own-family", help="The judge's model family, to be found in the columns family and other_family.")
@click.option("--metric", help="A registered version in place of a file: its judged score, as task/name.")
@click.option("--judge-version", help="Version of the judge that gave the verdicts, where their file does not say.")
@click.option("--unscored-wrong", is_flag=True, help="Verdicts that cannot be read count as wrong.")
@click.option("--no-save", is_flag=True, help="Only show; do not store with the judge.")
@json_option
def calibrate(
    name_or_file: str,
    labels_file: str,
    words: tuple[str, ...],
    verdicts_file: str | None,
    samples_file: str | None,
    cluster: str | None,
    by: tuple[str, ...],
    threshold: float | None,
    own_family: str | None,
    metric: str | None,
    judge_version: str | None,
    unscored_wrong: bool,
    no_save: bool,
    as_json: bool,
) -> None:
    """Compare a judge's verdicts with people's labels, and store the result with the judge's version.

    \b
      evalkit judge calibrate verdicts.jsonl --labels labels.jsonl
      evalkit judge calibrate helpful --verdicts verdicts.jsonl --labels labels.csv --samples data.jsonl --by language
      evalkit judge calibrate models:/bot/3 --metric golden/helpful --labels labels.csv
    """
    from judges.calibration import report
    from judges.influences import own_answers
    from judges.labels import read_labels

    name, verdicts, recorded = _judged(name_or_file, verdicts_file, metric)
    labels = read_labels(labels_file, words=_words(words))
    samples = _samples(samples_file, cluster, by, {"--by": bool(by), "--own-family": own_family is not None})
    found = report(
        verdicts,
        labels,
        samples=samples,
        by=by,
        judge=name,
        judge_version=judge_version or recorded,
        own_answers=own_answers(samples, own_family) if own_family else None,
        threshold=threshold,
        unscored="wrong" if unscored_wrong else "leave out",
    )
    stored = None if no_save else _save(found, labels_file)
    if as_json:
        print_json({**found.to_json(), "calibration": stored})
        return
    from evalkit.judging import tables

    tables.report(found, console())
    if stored:
        note(f"stored as calibration {stored}")


@judge.command(short_help="What the true rate is, from verdicts and a few labels.")
@click.argument("name_or_file")
@labels_options
@click.option(
    "--verdicts", "verdicts_file", type=FILE, help="Recorded verdicts; NAME_OR_FILE is then the judge's name."
)
@samples_options
@click.option("--expensive", type=FILE, help="Verdicts of a better judge on a random part; the labels lie in it.")
@click.option("--other", type=FILE, help="Verdicts on another model: the difference to it.")
@click.option("--other-labels", type=FILE, help="Labels on the other model.")
@click.option("--fixed", is_flag=True, help="The rate over exactly these samples, not over the population they are of.")
@json_option
def rate(
    name_or_file: str,
    labels_file: str,
    words: tuple[str, ...],
    verdicts_file: str | None,
    samples_file: str | None,
    cluster: str | None,
    expensive: str | None,
    other: str | None,
    other_labels: str | None,
    fixed: bool,
    as_json: bool,
) -> None:
    """Correct a judged rate for the judge's errors (prediction-powered inference), or a difference of two models.

    Labels need the probability with which their sample was drawn; `evalkit judge label` records it.
    """
    from judges.corrected import ExpensiveJudge, corrected_difference, corrected_rate
    from judges.labels import read_labels

    _, verdicts = _verdicts(name_or_file, verdicts_file)
    known = _words(words)
    labels = read_labels(labels_file, words=known)
    samples = _samples(samples_file, cluster, (), {})
    if (other is None) != (other_labels is None):
        raise click.UsageError("--other and --other-labels go together")
    if other is not None and other_labels is not None:
        if expensive is not None:
            raise click.UsageError("--expensive is for one model; leave --other out")
        found = corrected_difference(
            verdicts,
            labels,
            _verdicts(other, None)[1],
            read_labels(other_labels, words=known),
            samples=samples,
            fixed=fixed,
        )
    else:
        better = None if expensive is None else ExpensiveJudge(_verdicts(expensive, None)[1])
        found = corrected_rate(verdicts, labels, expensive=better, samples=samples, fixed=fixed)
    if as_json:
        print_json(found.to_json())
        return
    from evalkit.judging import tables

    tables.corrected(found, console())


@judge.command(short_help="How many labels an interval of ±x takes.")
@click.argument("half_width", type=float)
@click.option("--verdicts", "verdicts_file", type=FILE, help="Verdicts of a pilot; with --labels.")
@click.option("--labels", "labels_file", type=FILE, help="Labels of a pilot, with inclusion probabilities.")
@click.option("--word", "words", multiple=True, metavar="WORD=NUMBER", help="What a label that is a word counts as.")
@click.option("--correlation", type=click.FloatRange(0, 1, max_open=True), help="Of verdict and label, if known.")
@click.option("--rate", "expected", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Expected rate.")
@click.option("--samples", "judged", type=click.IntRange(min=2), help="How many samples are judged.")
@json_option
def plan(
    half_width: float,
    verdicts_file: str | None,
    labels_file: str | None,
    words: tuple[str, ...],
    correlation: float | None,
    expected: float,
    judged: int | None,
    as_json: bool,
) -> None:
    """Tell how many labels bring the interval down to ±HALF_WIDTH (0.02 is 2 points), with the judge and without."""
    from judges.corrected import labels_needed, pilot_correlation
    from judges.labels import read_labels

    deviation = (expected * (1 - expected)) ** 0.5
    if (verdicts_file is None) != (labels_file is None):
        raise click.UsageError("--verdicts and --labels of a pilot go together")
    if verdicts_file is not None and labels_file is not None:
        _, verdicts = _verdicts(verdicts_file, None)
        correlation, deviation = pilot_correlation(verdicts, read_labels(labels_file, words=_words(words)))
        judged = judged or len(verdicts)
    found = labels_needed(half_width, correlation=correlation or 0.0, deviation=deviation, verdicts=judged)
    if as_json:
        print_json(found.to_json())
        return
    from evalkit.judging import tables

    tables.plan(found, console())


@judge.command(short_help="Win rates and strengths from verdicts on pairs.")
@click.argument("files", nargs=-1, required=True)
@click.option("--metric", help="Registered versions: rank them by this score of each sample, as task/metric.")
@click.option("--baseline", default="baseline", show_default=True, help="Name of what all are compared with.")
@click.option("--samples", "samples_files", multiple=True, type=FILE, metavar="FILE",
              help="Pairs of each file, in the same order, for win rates at equal length.")  # fmt: skip
@click.option("--tie-margin", type=click.FloatRange(0, 0.5), default=0.0, help="Verdicts this close to 0.5 are ties.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@json_option
def rank(
    files: tuple[str, ...],
    metric: str | None,
    baseline: str,
    samples_files: tuple[str, ...],
    tie_margin: float,
    seed: int,
    as_json: bool,
) -> None:
    """Rank models by recorded verdicts against one baseline: one FILE per model, named after it.

    `MODEL=FILE` names the model otherwise. The win rate has its standard error; strengths are Bradley and Terry's.
    Registered versions (`models:/NAME/1 models:/NAME/2 --metric task/metric`) are ranked by the scores that one judge
    or metric gave them: on each sample the better score wins.
    """
    if any(given.startswith("models:/") for given in files):
        _rank_versions(files, metric, tie_margin, seed, as_json)
        return
    if metric is not None:
        raise click.UsageError("--metric goes with registered versions (models:/NAME/VERSION)")
    from judges.rankings import rank as fit
    from judges.rankings import win_rate

    if samples_files and len(samples_files) != len(files):
        raise click.UsageError(f"{len(samples_files)} files of --samples for {len(files)} models; give one for each")
    found, rates = {}, {}
    for place, given in enumerate(files):
        name, equals, path = given.partition("=")
        path = path if equals else given
        name = name if equals else _stem(given)
        if name in rates or name == baseline:
            raise InputError(f"the model {name!r} occurs twice; name the files' models as MODEL=FILE")
        verdicts = _verdicts(path, None)[1]
        samples = _samples(samples_files[place], None, (), {}) if samples_files else []
        found[name, baseline], rates[name] = verdicts, win_rate(verdicts, samples=samples)
    ranking = fit(found, tie_margin=tie_margin, seed=seed)
    if as_json:
        print_json({"win_rates": {name: rate.to_json() for name, rate in rates.items()}, "ranking": ranking.to_json()})
        return
    from evalkit.judging import tables

    tables.win_rates(rates, console())
    console().print()
    tables.ranking(ranking, console())


def _rank_versions(versions: Sequence[str], metric: str | None, tie_margin: float, seed: int, as_json: bool) -> None:
    from judges.rankings import compare_scores
    from judges.rankings import rank as fit

    if metric is None:
        raise click.UsageError("registered versions are ranked by a score: give --metric task/metric")
    if server_url() is not None:
        from evalkit.remote.judges import version_scores
    else:
        from evalkit.judging.versions import version_scores
    ranking = fit(compare_scores(version_scores(versions, metric), margin=tie_margin), seed=seed)
    if as_json:
        print_json({"win_rates": {}, "ranking": ranking.to_json()})
        return
    from evalkit.judging import tables

    tables.ranking(ranking, console())


def _judged(
    name_or_file: str, verdicts_file: str | None, metric: str | None
) -> tuple[str, Sequence[Verdict], str | None]:
    """The judge's name, its verdicts and its version, from a file or from a registered version's score."""
    from judges.recorded import recorded_version

    if not name_or_file.startswith("models:/"):
        name, verdicts = _verdicts(name_or_file, verdicts_file)
        return name, verdicts, recorded_version(verdicts_file or name_or_file)
    if metric is None:
        raise click.UsageError("a registered version is calibrated by one of its scores: give --metric task/name")
    if server_url() is not None:
        from evalkit.remote.judges import stored_verdicts
    else:
        from evalkit.judging.asking import stored_verdicts

    stored = stored_verdicts(name_or_file, metric)
    return stored.judge, stored.verdicts, stored.version


def _verdicts(name_or_file: str, verdicts_file: str | None) -> tuple[str, Sequence[Verdict]]:
    """The judge's name and its verdicts."""
    from judges.recorded import read_verdicts

    if verdicts_file is None and not name_or_file.lower().endswith(_ROWS):
        raise InputError(f"judge '{name_or_file}' needs its verdicts: give --verdicts FILE, or a file in its place")
    found = read_verdicts(verdicts_file or name_or_file)
    if verdicts_file is None:
        if len(found) > 1:
            raise InputError(
                f"{name_or_file} has verdicts of {len(found)} judges ({', '.join(sorted(found)[:3])}, …); name one: "
                f"NAME --verdicts {name_or_file}"
            )
        own, verdicts = next(iter(found.items()))
        return own or _stem(name_or_file), verdicts
    if name_or_file in found:
        return name_or_file, found[name_or_file]
    if set(found) == {""}:
        return name_or_file, found[""]
    raise InputError(f"{verdicts_file} has no judge '{name_or_file}'{did_you_mean(name_or_file, found)}")


def _stem(path: str) -> str:
    """A file's name without what says how it is written."""
    return Path(path).name.removesuffix(".gz").rpartition(".")[0]


def _samples(path: str | None, cluster: str | None, slices: Sequence[str], needs: dict[str, bool]) -> Sequence[Sample]:
    from judges.sample_files import read_samples

    if path is not None:
        return read_samples(path, cluster=cluster, slices=tuple(dict.fromkeys(slices)))
    for option, used in {**needs, "--cluster": cluster is not None}.items():
        if used:
            raise click.UsageError(f"{option} names a column of --samples; give that file, too")
    return []


def _words(given: Sequence[str]) -> dict[str, float]:
    found = {}
    for pair in given:
        word, equals, number = pair.rpartition("=")
        try:
            found[word] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise click.BadParameter(f"expected WORD=NUMBER, got '{pair}'", param_hint="--word")
    return found


def _save(found: Any, labels_file: str) -> str:
    from registry.digests import file_digest

    labels = file_digest(Path(labels_file))
    if server_url() is not None:
        from evalkit.remote.judges import keep

        return keep(found, labels)
    from evalkit.config import load_settings
    from evalkit.judging.calibrations import store_calibration

    return store_calibration(load_settings(), found, labels).id
