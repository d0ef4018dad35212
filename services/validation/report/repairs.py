"""What a refused value may have been meant to be. A suggestion for a person, never applied by
us.
"""

import re
from datetime import datetime

from services.validation.columns.column_types import ColumnFacts
from services.validation.columns.time_formats import EPOCH_MILLIS, EPOCH_SECONDS, candidate_formats
from sluice.validation.v1.validation_pb2 import ColumnType

_NUMBER = re.compile(r"[-+]?\d[\d.,'\u00a0\u202f ]*")


def suggest(fact: ColumnFacts, cell: str) -> str:
    """The value as the column would take it; empty where nobody can tell."""
    if fact.time_format is not None:
        return _time(cell.strip(), fact.time_format.strptime)
    if fact.is_number:
        return _number(cell.strip(), whole=fact.type == ColumnType.COLUMN_TYPE_INTEGER)
    return ""


def _number(cell: str, *, whole: bool) -> str:
    """The one number in the text, in plain notation."""
    found = _NUMBER.findall(cell)
    if len(found) != 1:
        return ""
    text = re.sub(r"['\s\u00a0\u202f]", "", found[0])
    negative = text.startswith("-") or (cell.startswith("(") and cell.endswith(")"))
    text = text.lstrip("+-")
    marks = [mark for mark in text if mark in ".,"]
    if len(set(marks)) == 2:
        # The last one stands before the fraction.
        text = text.replace("," if marks[-1] == "." else ".", "").replace(",", ".")
    elif len(marks) > 1 or (marks and re.search(r"[.,]\d{3}$", text)):
        # `1,234` may be either; no guess is better than a wrong one.
        if len(marks) == 1:
            return ""
        text = text.replace(marks[0], "")
    else:
        text = text.replace(",", ".")
    text = text.rstrip(".")
    if whole and "." in text:
        return ""
    return f"-{text}" if negative else text


def _time(cell: str, wanted: str) -> str:
    """The time in the column's format, where only one other format reads it."""
    if wanted in (EPOCH_SECONDS, EPOCH_MILLIS) or "%z" in wanted:
        return ""
    formats = {found.strptime for found in candidate_formats(cell, named_like_time=True)} - {
        EPOCH_SECONDS,
        EPOCH_MILLIS,
    }
    read = set()
    for format in formats:
        try:
            read.add(datetime.strptime(cell, format))
        except ValueError:
            continue
    if len(read) != 1:
        return ""
    moment = read.pop()
    if (
        "%H" not in wanted
        and "%I" not in wanted
        and (moment.hour or moment.minute or moment.second)
    ):
        return ""
    return moment.strftime(wanted)
