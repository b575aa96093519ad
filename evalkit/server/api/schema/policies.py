"""Policies: what moving an alias needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from evalkit.server.api.schema.base import In
from registry.policy import Freeze, Policy


class FreezeIn(In):
    """A time in which nothing is promoted: ``[start, end)``."""

    start: int = Field(ge=0, le=2**53)
    end: int = Field(ge=0, le=2**53)
    reason: str = Field("", max_length=500)


class PolicyIn(In):
    """What moving the protected aliases of some models needs."""

    aliases: list[Annotated[str, Field(max_length=100)]] = Field(default=["champion"], min_length=1, max_length=20)
    approvals: int = Field(0, ge=0, le=20)
    author_may_approve: bool = False
    expires_after: int | None = Field(None, ge=1, le=2**53, description="Milliseconds.")
    freeze: list[FreezeIn] = Field(default=[], max_length=100)
    auto: Literal["off", "evaluate", "evaluate+promote"] = "off"
    artifacts: Literal["proxied", "load"] = "proxied"
    suites: list[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]] = Field(default=[], max_length=1000)

    def policy(self, pattern: str) -> Policy:
        """The policy for a pattern."""
        return Policy(
            pattern,
            aliases=tuple(self.aliases),
            approvals=self.approvals,
            author_may_approve=self.author_may_approve,
            expires_after=self.expires_after,
            freeze=tuple(Freeze(window.start, window.end, window.reason) for window in self.freeze),
            auto=self.auto,
            artifacts=self.artifacts,
            suites=tuple(self.suites),
        )


class PolicyPut(PolicyIn):
    """A policy, with the texts of suites that it names: versions without a suite of their own are judged by them."""

    suite_texts: list[Annotated[str, Field(max_length=1_000_000)]] = Field(default=[], max_length=20)


class PolicyOut(PolicyIn):
    """A policy."""

    pattern: str
    new: bool | None = None
