"""``evalkit judge label``: a person labels samples, one a screen."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.output import console, note
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.judging.labelling import LabelFile, Shown
    from judges.base import Sample
    from judges.sampling import Draw
    from metrics.base import FloatArray

_BACK, _QUIT = "u", "q"


@click.command(short_help="Label samples drawn with known chances.")
@click.argument("samples_file", type=click.Path(dir_okay=False))
@click.option("--labels", "labels_file", type=click.Path(dir_okay=False), default="labels.jsonl", show_default=True,
              help="Where labels go; the same file continues.")  # fmt: skip
@click.option("--verdicts", "verdicts_files", multiple=True, type=click.Path(dir_okay=False),
              help="Verdicts on the samples: where judges are unsure or disagree is drawn more often.")  # fmt: skip
@click.option("--n", "draws", type=click.IntRange(min=1), default=100, show_default=True, help="Draws to label.")
@click.option("--threshold", type=float, help="Verdicts of at least this pass: those near it are drawn more often.")
@click.option("--scale", help="Numbers to choose from, such as 1,2,3,4,5; default: pass or fail, in pairs a, b or tie.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@click.option("--labeller", help="Your name; default: the one you are logged in with.")
def label(
    samples_file: str,
    labels_file: str,
    verdicts_files: tuple[str, ...],
    draws: int,
    threshold: float | None,
    scale: str | None,
    seed: int,
    labeller: str | None,
) -> None:
    """Show samples of SAMPLES_FILE one after the other and store a label for each.

    Samples are drawn with known probabilities, which are stored, so that `evalkit judge rate` can tell from few labels
    about all samples. Every label is on disk before the next sample shows; the same command continues. The judge's
    verdicts are not shown, and in pairs it is left to chance which answer is A.
    """
    from evalkit.judging.labelling import LabelFile, design_of
    from judges.sample_files import read_samples
    from judges.sampling import draw_samples

    keys = None if scale is None else _scale(scale)
    samples = {sample.id: sample for sample in read_samples(samples_file)}
    if not samples:
        raise InputError(f"{samples_file} has no samples")
    ids = list(samples)
    useful = _useful(ids, verdicts_files, threshold)
    drawn = draw_samples(ids, draws, useful=useful, seed=seed)
    file = LabelFile.open(Path(labels_file), drawn, labeller or getpass.getuser(), design_of(ids, useful, seed))
    try:
        finished = _ask_all(file, samples, keys, seed)
    except (KeyboardInterrupt, click.Abort, EOFError):
        finished = False
    left = "all draws have a label" if finished else "the same command continues"
    note(f"{len(file.done)} of {draws} draws labelled in {labels_file}; {left}")


def _ask_all(file: LabelFile, samples: Mapping[str, Sample], keys: Mapping[str, float] | None, seed: int) -> bool:
    """Ask until nothing is left (True) or the person quits (False)."""
    from evalkit.judging.labelling import PAIRS, PASS_FAIL, show, value_of

    while (draw := file.next()) is not None:
        sample = samples[draw.sample_id]
        shown = show(sample, draw, seed)
        choices = keys or (PAIRS if len(sample.others) == 1 else PASS_FAIL)
        _print(file, draw, shown)
        answer = _ask(choices)
        if answer == _QUIT:
            return False
        if answer == _BACK:
            if not file.back():
                note("there is nothing to take back since you started")
        else:
            file.add(draw, *value_of(answer, choices, shown))
    return True


def _ask(choices: Mapping[str, float]) -> str:
    from evalkit.judging.labelling import SKIP, WORDS

    shown = ", ".join(f"{key} {WORDS[key]}" if key in WORDS else key for key in choices)
    while True:
        answer: str = click.prompt(f"{shown}; {SKIP} cannot tell, {_BACK} undo, {_QUIT} quit", type=str, err=True)
        answer = answer.strip().lower()
        if answer in {*choices, SKIP, _BACK, _QUIT}:
            return answer
        note(f"{answer[:20]!r} is none of these")


def _print(file: LabelFile, draw: Draw, shown: Shown) -> None:
    from rich.panel import Panel
    from rich.text import Text

    screen = console()
    if screen.is_terminal:
        screen.clear()
    screen.print(Text(f"{len(file.done) + 1} of {len(file.draws)}, sample {draw.sample_id!r}"))
    for title, text in shown.parts:
        screen.print(Panel(Text(text), title=title, title_align="left"))


def _useful(ids: Sequence[str], files: Sequence[str], threshold: float | None) -> FloatArray | None:
    """How useful a label on each sample would be; None without verdicts."""
    from judges.base import Verdict
    from judges.recorded import UNPARSED, read_verdicts
    from judges.sampling import usefulness

    everyone = [verdicts for path in files for verdicts in read_verdicts(path).values()]
    if not everyone:
        return None
    first = {verdict.sample_id: verdict for verdict in everyone[0]}
    verdicts = [first.get(name) or Verdict(name, None, UNPARSED) for name in ids]
    return usefulness(verdicts, everyone[1:], threshold=threshold)


def _scale(given: str) -> dict[str, float]:
    try:
        found = {part.strip(): float(part) for part in given.split(",")}
    except ValueError:
        raise click.BadParameter(f"expected numbers such as 1,2,3,4,5, got '{given}'", param_hint="--scale") from None
    if len(found) < 2:
        raise click.BadParameter("expected at least two numbers", param_hint="--scale")
    return found
