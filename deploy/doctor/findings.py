"""Findings of the checks."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]

CLOCK_SKEW_MAX_S = 60.0
"""Larger skew makes displayed times misleading; at 15 minutes S3 rejects all requests."""


@dataclass(frozen=True)
class Finding:
    """A result of a check, and what to do unless it is ok."""

    level: Level
    subject: str
    text: str
    todo: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding("ok", subject, text)


def warning(subject: str, text: str, todo: str) -> Finding:
    """Return a finding on something that works, but not as it should."""
    return Finding("warning", subject, text, todo)


def fault(subject: str, text: str, todo: str) -> Finding:
    """Return a finding on something that does not work."""
    return Finding("fault", subject, text, todo)


def clock(subject: str, skew_s: float) -> Finding:
    """Check a clock that is `skew_s` seconds ahead of this machine's clock."""
    if abs(skew_s) <= CLOCK_SKEW_MAX_S:
        return ok(subject, f"its clock is within {CLOCK_SKEW_MAX_S:g} s of this machine's")
    return fault(
        subject,
        f"its clock is {skew_s:+.0f} s off this machine's",
        "Run NTP on both machines; signed requests fail if clocks differ by 15 minutes.",
    )
