"""Suggestions for rejected values. Sluice never applies them itself."""

import re
from datetime import datetime

from services.validation.columns.column_types import ColumnFacts
from services.validation.columns.time_formats import EPOCH_MILLIS, EPOCH_SECONDS, candidate_formats
from sluice.validation.v1.validation_pb2 import ColumnType

_NUMBER = re.compile(r"[-+]?\d[\d.,'\u00a0\u202f ]*")


def suggest(fact: ColumnFacts, cell: str) -> str:
    """A value that the column accepts, or an empty text if there is no clear one."""
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
    separators = [character for character in text if character in ".,"]
    if len(set(separators)) == 2:
        # The last one is the decimal separator.
        text = text.replace("," if separators[-1] == "." else ".", "").replace(",", ".")
    elif len(separators) > 1 or (separators and re.search(r"[.,]\d{3}$", text)):
        # `1,234` is ambiguous, and a wrong suggestion is worse than none.
        if len(separators) == 1:
            return ""
        text = text.replace(separators[0], "")
    else:
        text = text.replace(",", ".")
    text = text.rstrip(".")
    if whole and "." in text:
        return ""
    return f"-{text}" if negative else text


def _time(cell: str, wanted: str) -> str:
    """The time in the column's format, if all other formats that parse it agree."""
    if wanted in (EPOCH_SECONDS, EPOCH_MILLIS) or "%z" in wanted:
        return ""
    formats = {found.strptime for found in candidate_formats(cell, named_like_time=True)} - {
        EPOCH_SECONDS,
        EPOCH_MILLIS,
    }
    times = set()
    for format in formats:
        try:
            times.add(datetime.strptime(cell, format))
        except ValueError:
            continue
    if len(times) != 1:
        return ""
    time = times.pop()
    if "%H" not in wanted and "%I" not in wanted and (time.hour or time.minute or time.second):
        return ""
    return time.strftime(wanted)
