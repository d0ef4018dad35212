"""Column names in Druid."""

import re
from collections.abc import Sequence
from itertools import chain, count

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

TIME = "__time"
RESERVED = (TIME, "__load_id")

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f\ufeff,]+")
"""Includes the comma: Druid 33 cannot load a column with a comma in its name ("Wrong number of
splits").
"""


def clean(name: str) -> str:
    """The name on one line, without commas, repeated blanks and surrounding blanks."""
    return _BLANKS.sub(" ", name).strip()


def druid_names(
    header: Sequence[str], time_position: int | None
) -> tuple[list[str], list[Problem]]:
    """Unique names of all columns, and a warning for each that differs from the file.

    The column at `time_position` is named `__time`, without a warning.
    """
    cleaned = [clean(name) for name in header]
    # The first column with a valid name keeps it.
    taken = set(RESERVED)
    names = [""] * len(cleaned)
    for position, name in enumerate(cleaned):
        if position != time_position and name and name not in taken:
            names[position] = name
            taken.add(name)
    problems = []
    for position, name in enumerate(cleaned):
        if position == time_position:
            names[position] = TIME
            continue
        if not names[position]:
            base = name.strip("_") if name in RESERVED else name
            names[position] = _unused(base or f"column_{position + 1}", taken)
            taken.add(names[position])
        if names[position] != header[position].strip():
            problems.append(_renamed(header[position], names[position], position))
    return names, problems


def _unused(base: str, taken: set[str]) -> str:
    candidates = chain([base], (f"{base}_{number}" for number in count(2)))
    return next(name for name in candidates if name not in taken)


def _renamed(source_name: str, name: str, position: int) -> Problem:
    shown = clean(source_name)
    if not shown:
        why = f"Column {position + 1} has no name"
    elif shown in RESERVED:
        why = f"Column {position + 1} has the reserved name {shown!r}"
    elif name == shown:
        why = f"The name of column {position + 1} has a line break, comma or control character"
    else:
        why = f"Column {position + 1} has the name {shown!r}, which is already used"
    return errors.problem(
        ErrorReason.ERROR_REASON_COLUMN_RENAMED,
        f"{why}; it is loaded as {name!r}.",
        column=shown,
        value=name,
    )
