"""Kinds of faults: each is brought about, held for a while and taken back; what comes of it is seen elsewhere."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.databases import PostgreSQL
from benchmarks.faults.judge_server import MODES
from benchmarks.faults.processes import Member
from benchmarks.faults.site import Site

Fault = Callable[[Site, random.Random], str]
SHARDS = ("outputs", "features", "scores", "verdicts")
_LONG_PAUSE = 17.0
"""Longer than a worker may be silent before it is taken for dead."""
_SKEWS = (-3_600_000, -600_000, -30_000, -2_000, 2_000, 30_000, 600_000, 3_600_000)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault; `strike` brings it about, takes it back and says what exactly it did."""

    name: str
    strike: Fault
    databases: tuple[str, ...] = ("sqlite", "postgresql")


def kill_server(site: Site, chance: random.Random) -> str:
    """SIGKILL the server: all of it, or only the process that looks after the others."""
    alone = chance.random() < 0.5
    site.server.kill(alone=alone)
    return "its first process alone" if alone else "all of it"


def kill_worker(site: Site, chance: random.Random) -> str:
    """SIGKILL a worker; evaluations that it runs end with it."""
    worker = chance.choice(site.workers)
    worker.kill()
    return worker.name


def kill_evaluation(site: Site, _chance: random.Random) -> str:
    """SIGKILL the command line that evaluates."""
    if site.evaluations is not None:
        site.evaluations.kill()
    return ""


def pause(site: Site, chance: random.Random) -> str:
    """SIGSTOP a process, SIGCONT after a while."""
    evaluation = site.evaluations.member if site.evaluations is not None else None
    members = [site.server, *site.workers, *([evaluation] if evaluation is not None else [])]
    member = chance.choice(members)
    long = member in site.workers and chance.random() < 0.2
    seconds = _LONG_PAUSE if long else chance.uniform(0.5, 5.0)
    member.pause()
    time.sleep(seconds)
    member.go_on()
    return f"{member.name} for {seconds:.1f} s"


def restart(site: Site, chance: random.Random) -> str:
    """SIGTERM the server or a worker, and start it again."""
    member = chance.choice([site.server, *site.workers])
    member.end()
    return member.name


def judge(mode: str) -> Fault:
    """The judge's server misbehaves for some seconds."""

    def strike(site: Site, chance: random.Random) -> str:
        seconds = chance.uniform(1.0, 4.0)
        site.judge_mode(mode)
        time.sleep(seconds)
        site.judge_mode("well")
        return f"for {seconds:.1f} s"

    return strike


def judge_down(site: Site, chance: random.Random) -> str:
    """The judge's server is killed, and comes back later."""
    seconds = chance.uniform(1.0, 4.0)
    site.judge.wanted = False
    site.judge.kill()
    time.sleep(seconds)
    site.judge.start()
    return f"for {seconds:.1f} s"


def database_locked(site: Site, chance: random.Random) -> str:
    """Somebody holds a lock for seconds."""
    seconds = chance.uniform(0.5, 6.0)
    return f"{site.database.hold(chance, seconds)} for {seconds:.1f} s"


def database_read_only(site: Site, chance: random.Random) -> str:
    """Nothing can be written for some seconds; on SQLite by processes that start then."""
    seconds = chance.uniform(2.0, 5.0)
    told = ""
    with site.database.read_only() as possible:
        if not possible:
            return "left out: not permitted on this machine"
        if site.database.kind == "sqlite":
            members: list[Member] = [site.server, *site.workers]
            member = chance.choice(members)
            member.kill()
            told = f"{member.name} starts in it, "
            if site.evaluations is not None:
                site.evaluations.kill()
            seconds += 3.0
        time.sleep(seconds)
    return f"{told}for {seconds:.1f} s"


def disk_full(site: Site, chance: random.Random) -> str:
    """No byte is free where the database (on SQLite also all shards) lies."""
    if not site.disk.own:
        return "left out: no disk of its own on this machine"
    seconds = chance.uniform(1.0, 4.0)
    site.disk.fill()
    time.sleep(seconds)
    site.disk.free()
    if isinstance(site.database, PostgreSQL):
        site.database.ensure()
    return f"for {seconds:.1f} s"


def database_crash(site: Site, chance: random.Random) -> str:
    """The database server stops at once and is started again."""
    assert isinstance(site.database, PostgreSQL)
    seconds = chance.uniform(0.0, 4.0)
    site.database.crash()
    time.sleep(seconds)
    site.database.start()
    return f"down for {seconds:.1f} s"


def database_backend(site: Site, chance: random.Random) -> str:
    """SIGKILL one of the database server's processes: all sessions end, it recovers by itself."""
    assert isinstance(site.database, PostgreSQL)
    site.database.kill_one(chance)
    site.database.ensure()
    return ""


def database_paused(site: Site, chance: random.Random) -> str:
    """SIGSTOP the database server."""
    assert isinstance(site.database, PostgreSQL)
    seconds = chance.uniform(0.5, 5.0)
    site.database.pause()
    time.sleep(seconds)
    site.database.go_on()
    return f"for {seconds:.1f} s"


def database_deadlock(site: Site, chance: random.Random) -> str:
    """Transactions that lock two tables in the other order."""
    assert isinstance(site.database, PostgreSQL)
    return site.database.deadlock(chance, 3.0)


def corrupt_shard(site: Site, chance: random.Random) -> str:
    """Flip bytes of a stored shard, change a digit, cut it or empty it; half of the time whoever reads it is new."""
    found = [
        path
        for name in SHARDS
        for path in sorted((site.settings.home / name).glob("*/*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    if not found:
        return "no shard yet"
    path, how = chance.choice(found), chance.choice(("flipped", "cut", "emptied", "another digit"))
    with contextlib.suppress(FileNotFoundError):
        damage(path, how, chance)
    if chance.random() < 0.5 and site.evaluations is not None:
        site.evaluations.kill()
    return f"{path.relative_to(site.settings.home)} {how}"


def damage(path: Path, how: str, chance: random.Random) -> None:
    """Damage a file in place."""
    data = bytearray(path.read_bytes())
    if how == "flipped" and data:
        for _ in range(8):
            data[chance.randrange(len(data))] ^= 1 + chance.randrange(255)
    elif how == "another digit":
        places = [place for place, byte in enumerate(data) if chr(byte).isdigit() and byte < 128]
        if places:
            place = chance.choice(places)
            data[place] = ord("0") + (data[place] - ord("0") + 1 + chance.randrange(9)) % 10
    elif how == "cut":
        del data[len(data) // 2 :]
    else:
        data.clear()
    path.write_bytes(data)


def clock(site: Site, chance: random.Random) -> str:
    """One process's clock is off for some seconds."""
    if not site.skews:
        return "left out: no C compiler on this machine"
    name, by = chance.choice(sorted(site.skews)), chance.choice(_SKEWS)
    seconds = chance.uniform(2.0, 6.0)
    site.skew(name, by)
    time.sleep(seconds)
    site.skew(name, 0)
    return f"{name} by {by / 1000:+g} s for {seconds:.1f} s"


_POSTGRESQL = ("postgresql",)
KINDS = (
    Kind("server killed", kill_server),
    Kind("worker killed", kill_worker),
    Kind("evaluation killed", kill_evaluation),
    Kind("process paused", pause),
    Kind("process restarted", restart),
    Kind("judge down", judge_down),
    *(Kind(f"judge {mode}", judge(mode)) for mode in MODES if mode not in {"well", "revoked"}),
    Kind("key revoked", judge("revoked")),
    Kind("database locked", database_locked),
    Kind("database read-only", database_read_only),
    Kind("disk full", disk_full),
    Kind("shard corrupted", corrupt_shard),
    Kind("clock skewed", clock),
    Kind("database stopped", database_crash, _POSTGRESQL),
    Kind("database process killed", database_backend, _POSTGRESQL),
    Kind("database paused", database_paused, _POSTGRESQL),
    Kind("deadlock", database_deadlock, _POSTGRESQL),
)


def kind_of(seed: int, number: int, database: str, only: tuple[str, ...] = ()) -> Kind:
    """The kind of the fault with this number: each block of as many faults as there are kinds has each kind once."""
    known = [kind for kind in KINDS if database in kind.databases and (not only or kind.name in only)]
    block, place = divmod(number, len(known))
    random.Random(f"{seed}:{database}:{block}").shuffle(known)
    return known[place]
