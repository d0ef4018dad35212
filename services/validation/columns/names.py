"""The names that columns get in Druid."""

import re
from collections.abc import Sequence

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

TIME = "__time"
RESERVED = (TIME, "__load_id")

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f\ufeff,]+")
"""A comma is among them, as Druid 33 cannot load a column that has one in its name ("Wrong number
of splits").
"""


def clean(name: str) -> str:
    """The name on one line, without commas, with single blanks and none around it."""
    return _BLANKS.sub(" ", name).strip()


def druid_names(
    header: Sequence[str], time_position: int | None
) -> tuple[list[str], list[Problem]]:
    """A name of its own for every column, and a warning for each that is not the one in the file.

    The column at `time_position` is `__time`; that its own name goes is no warning.
    """
    cleaned = [clean(name) for name in header]
    # A name that is right as it is belongs to the first column that has it.
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
            names[position] = _free(name.strip("_") if name in RESERVED else name, position, taken)
            taken.add(names[position])
        if names[position] != header[position].strip():
            problems.append(_renamed(header[position], names[position], position))
    return names, problems


def _free(name: str, position: int, taken: set[str]) -> str:
    base = name or f"column_{position + 1}"
    if base not in taken:
        return base
    number = 2
    while f"{base}_{number}" in taken:
        number += 1
    return f"{base}_{number}"


def _renamed(given: str, name: str, position: int) -> Problem:
    shown = clean(given)
    if not shown:
        why = f"Column {position + 1} has no name"
    elif shown in RESERVED:
        why = f"Column {position + 1} has the reserved name {shown!r}"
    elif name == shown:
        why = (
            f"The name of column {position + 1} spans lines, or holds a comma or control characters"
        )
    else:
        why = f"Column {position + 1} has the name {shown!r}, which another column has"
    return errors.problem(
        ErrorReason.ERROR_REASON_COLUMN_RENAMED,
        f"{why}; it is loaded as {name!r}.",
        column=shown,
        value=name,
    )
