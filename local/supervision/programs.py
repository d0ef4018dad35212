"""What the process manager starts: one `Program` per process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Group = Literal["services", "stores", "base"]
"""Groups are stopped in this order, so that each can finish its work on the ones after it: our own
processes, the stores that answer them, and what the stores stand on."""


@dataclass(frozen=True)
class Program:
    """One process that is kept running.

    `ports` are the names (see `local.ports`) that it listens on. `stop_signal` asks it to end;
    after `stop_seconds` it is killed.
    """

    name: str
    group: Group
    command: Sequence[str]
    directory: Path
    ports: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: Literal["TERM", "INT"] = "TERM"
    stop_seconds: int = 5
