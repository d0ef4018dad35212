"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]

CLOCK_SKEW_MAX_S = 60.0
"""More than this between two clocks makes times in lists misleading; at 15 minutes S3 refuses every
request.
"""


@dataclass(frozen=True)
class Finding:
    """One sentence on one thing, and what to do where something is to be done."""

    level: Level
    subject: str
    text: str
    todo: str = ""


def ok(subject: str, text: str) -> Finding:
    """Nothing is to be done."""
    return Finding("ok", subject, text)


def warning(subject: str, text: str, todo: str) -> Finding:
    """It works, but not as it should."""
    return Finding("warning", subject, text, todo)


def fault(subject: str, text: str, todo: str) -> Finding:
    """It does not work."""
    return Finding("fault", subject, text, todo)


def clock(subject: str, skew_s: float) -> Finding:
    """`skew_s`: seconds that the other clock is ahead of ours."""
    if abs(skew_s) <= CLOCK_SKEW_MAX_S:
        return ok(subject, f"its clock agrees with this machine's within {CLOCK_SKEW_MAX_S:g} s")
    return fault(
        subject,
        f"its clock is {skew_s:+.0f} s off this machine's",
        "Run NTP on both machines; signed requests fail when clocks differ by 15 minutes.",
    )
