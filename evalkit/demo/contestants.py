"""Which models the demo registers, in which order, and what its suites should find."""

from __future__ import annotations

from dataclasses import dataclass

from registry.entities import Outcome


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model version that stands before a gate.

    Attributes:
        model: name of the registered model; versions of one model follow each other in this order.
        label: what it is, for people.
        suite: name of the suite that judges it.
        kind: kind of the model.
        training: name of its training; None for a callable.
        call: the callable, for bots; None for trained models.
        expected: the outcome that its making leads one to expect, on every seed.
        broken_by: metrics that alone may be named by broken rules; empty where nothing is expected of them.
    """

    model: str
    label: str
    suite: str
    kind: str
    expected: Outcome
    training: str | None = None
    call: str | None = None
    broken_by: frozenset[str] = frozenset()


CONTESTANTS = (
    Contestant("digits-vae", "variational autoencoder, blurred", "digits", "vae", "fail", training="digits-vae"),
    Contestant("digits-gan", "GAN", "digits", "gan", "pass", training="digits-gan"),
    Contestant(
        "digits-gan",
        "GAN after mode collapse",
        "digits",
        "gan",
        "fail",
        training="digits-gan-collapsed",
        broken_by=frozenset({"recall", "coverage"}),
    ),
    Contestant("digits-diffusion", "diffusion", "digits", "diffusion", "pass", training="digits-diffusion"),
    Contestant("documentation-lm", "small GPT-2", "language", "llm", "pass", training="documentation-small"),
    Contestant("documentation-lm", "larger GPT-2", "language", "llm", "pass", training="documentation-large"),
    Contestant("docs-bot", "careful", "docs-bot", "llm", "pass", call="call:evalkit.demo.docs_bot:careful"),
    Contestant(
        "docs-bot",
        "careless",
        "docs-bot",
        "llm",
        "fail",
        call="call:evalkit.demo.docs_bot:careless",
        broken_by=frozenset({"token_f1", "exact_match", "refusal"}),
    ),
)
