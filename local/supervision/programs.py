"""The programs that the process manager runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Group = Literal["services", "stores", "base"]
"""Groups stop in this order, so that each can finish its work with the next: Sluice's processes,
the stores they use, and the programs that the stores need."""


@dataclass(frozen=True)
class Program:
    """A process that is restarted when it exits.

    `ports` are the names (see `local.ports`) of the ports it listens on. It is killed if it does
    not exit within `stop_seconds` after `stop_signal`.
    """

    name: str
    group: Group
    command: Sequence[str]
    directory: Path
    ports: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: Literal["TERM", "INT"] = "TERM"
    stop_seconds: int = 5
