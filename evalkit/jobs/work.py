"""Schedules as one kind of a worker's work: the host begins and ends with the loop, and works in threads of its own."""

from __future__ import annotations

from collections.abc import Callable

from evalkit.jobs.host import Host


class Scheduled:
    """The `Work` of a loop that runs schedules.

    Args:
        host: begun with the loop's first turn.
        say: tells people, one line at a time.
    """

    def __init__(self, host: Host, say: Callable[[str], None]) -> None:
        self._host, self._say = host, say
        self._begun = False

    def start(self) -> bool:
        """Begin to work; the host itself finds what is due from then on."""
        if not self._begun:
            self._host.start()
            self._begun = True
        return False

    def tend(self) -> None:
        """Nothing: the host says by itself that it is alive."""

    def busy(self) -> int:
        """How many firings are under way."""
        return self._host.busy()

    def abandon(self) -> None:
        """End; live workers take over what is under way, also where this process works on for a moment."""
        if not self._begun:
            return
        left = self._host.busy()
        self._host.stop(patience=0)
        if left:
            self._say(f"{left} scheduled runs are given back; another worker takes them over")
