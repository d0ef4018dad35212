"""The uploads and faults of a run, derived only from its seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

SERVICES = ("status", "upload", "validation", "druid_gateway", "gateway")
REPLICAS = 2
STORES = (
    "postgres",
    "s3",
    "druid_broker",
    "druid_coordinator",
    "druid_historical",
    "druid_indexer",
    "druid_router",
)
LINKS = ("postgres", "s3", "druid", *SERVICES)

MEASURED_AT_S = 4.0
"""Time of the fault whose recovery is measured. Others follow after QUIET_S."""


class Action(StrEnum):
    """The kind of a fault."""

    KILL = "SIGKILL"
    TERM = "SIGTERM"
    FREEZE = "SIGSTOP and SIGCONT"
    RESTART = "killed and restarted"
    OUTAGE = "stopped and started"
    CUT = "connections cut"
    REFUSE = "connections refused"
    STALL = "no byte goes through"
    DEAF = "answers lost"
    BACKENDS = "backends terminated"


QUIET_S = {Action.KILL: 16.0, Action.TERM: 5.0}
STORM_S = 20.0
SHORT_STORM_S = 6.0


class Content(StrEnum):
    """The kind of a file."""

    GOOD = "good"
    WORKBOOK = "good workbook"
    FEW_COLUMNS = "bad: too few columns"
    NO_TIME = "bad: no time"
    EMPTY = "bad: header only"
    BINARY = "hostile: binary"
    BROKEN_ZIP = "hostile: broken workbook"
    LONG_LINE = "hostile: a line without end"
    NUL = "hostile: NUL characters"


GOOD = frozenset({Content.GOOD, Content.WORKBOOK})


@dataclass(frozen=True)
class Upload:
    """An upload of a user."""

    number: int
    at_s: float
    content: Content
    rows: int
    datasource: str
    cancel_after_s: float | None
    """Seconds from acceptance to the cancellation of the task."""
    leaves_after: float | None
    """Share of the bytes after which the client disconnects once, before its retry."""
    twice: bool
    """Whether it is sent over two concurrent connections with one request id."""
    undone: bool
    """Whether its load is reverted once it has succeeded."""
    replaces: bool
    """Whether it replaces the rows of its days."""


@dataclass(frozen=True)
class Fault:
    """A fault."""

    at_s: float
    action: Action
    target: str
    seconds: float
    measured: bool = False


@dataclass(frozen=True)
class Plan:
    """The plan of a run."""

    seed: int
    short: bool
    uploads: tuple[Upload, ...]
    faults: tuple[Fault, ...]

    def lines(self) -> Iterator[str]:
        """Yield the plan as text, in chronological order."""
        yield f"plan of seed {self.seed}; repeat with: make chaos RUNS=1 SEED={self.seed}{' SHORT=1' if self.short else ''}"
        steps = [(each.at_s, f"upload {each.number}: {_upload(each)}") for each in self.uploads]
        steps += [
            (
                each.at_s,
                f"{each.target}: {each.action}"
                + (f" for {each.seconds:.1f} s" if each.seconds else ""),
            )
            for each in self.faults
        ]
        for at_s, text in sorted(steps):
            yield f"  {at_s:5.1f} s  {text}"


def make(seed: int, short: bool = False) -> Plan:
    """Return the plan of a seed, which is reproducible."""
    chance = random.Random(f"sluice chaos {seed}")
    first = chance.choice([Action.KILL, Action.TERM])
    faults = [Fault(MEASURED_AT_S, first, _replica(chance), 0.0, measured=True)]
    at_s = MEASURED_AT_S + QUIET_S[first]
    end_s = at_s + (SHORT_STORM_S if short else STORM_S)
    while at_s < end_s:
        faults.append(_fault(chance, at_s))
        at_s += chance.choice([0.2, 1.0, 2.0, 4.0])
    uploads = [
        _new_upload(chance, seed, number, end_s)
        for number in range(6 if short else chance.randint(7, 10))
    ]
    return Plan(seed, short, tuple(uploads), tuple(faults))


def _replica(chance: random.Random) -> str:
    return f"{chance.choice(SERVICES)}-{chance.randrange(REPLICAS)}"


def _fault(chance: random.Random, at_s: float) -> Fault:
    action = chance.choices(list(Action), [5, 3, 2, 3, 1, 3, 2, 2, 3, 1])[0]
    match action:
        case Action.KILL | Action.TERM:
            return Fault(at_s, action, _replica(chance), 0.0)
        case Action.FREEZE:
            return Fault(at_s, action, _replica(chance), chance.choice([2.0, 5.0, 14.0]))
        case Action.RESTART:
            return Fault(at_s, action, chance.choice(STORES), 0.0)
        case Action.OUTAGE:
            return Fault(at_s, action, chance.choice(STORES), chance.choice([3.0, 15.0, 30.0]))
        case Action.CUT:
            return Fault(at_s, action, chance.choice(LINKS), 0.0)
        case Action.BACKENDS:
            return Fault(at_s, action, "postgres", 2.0)
        case _:
            return Fault(at_s, action, chance.choice(LINKS), chance.uniform(0.5, 6.0))


def _new_upload(chance: random.Random, seed: int, number: int, end_s: float) -> Upload:
    content = chance.choices(list(Content), [10, 2, 1, 1, 1, 1, 1, 1, 1])[0]
    rows = chance.choice([10, 1_000, 20_000, 60_000, 200_000]) if content is Content.GOOD else 500
    return Upload(
        number=number,
        # The first uploads start before the measured fault.
        at_s=chance.uniform(0, MEASURED_AT_S)
        if number < 4
        else chance.uniform(MEASURED_AT_S, end_s),
        content=content,
        rows=rows,
        datasource=f"chaos_{seed}_{chance.choice('ab')}",
        cancel_after_s=chance.uniform(0, 6) if chance.random() < 0.15 else None,
        leaves_after=chance.random() if chance.random() < 0.15 else None,
        twice=chance.random() < 0.15,
        # Separate generators, so that the plans of known seeds do not change.
        undone=random.Random(f"sluice chaos undo {seed} {number}").random() < 0.25,
        replaces=random.Random(f"sluice chaos replace {seed} {number}").random() < 0.25,
    )


def _upload(upload: Upload) -> str:
    parts = [f"{upload.content}, {upload.rows} rows, into {upload.datasource}"]
    if upload.cancel_after_s is not None:
        parts.append(f"cancelled after {upload.cancel_after_s:.1f} s")
    if upload.leaves_after is not None:
        parts.append(f"client gone at {upload.leaves_after:.0%}")
    if upload.twice:
        parts.append("sent twice")
    if upload.undone:
        parts.append("undone")
    if upload.replaces:
        parts.append("replacing")
    return ", ".join(parts)
