"""The grammar of one record (RFC 4180), told strictly: what breaks it is said, never guessed around.

A quote inside an unquoted field, not at its start (`5" pipe`), is data: every reader agrees on it and no value moves.
"""

import re
from dataclasses import dataclass
from enum import Enum

QUOTE = b'"'
_QUOTED = re.compile(rb'"((?:[^"]++|"")*+)"')
_CLOSES = re.compile(rb'(?:[^"]++|"")*+"')


class Flaw(Enum):
    """Why bytes are not a record."""

    OPEN = "a quote is opened and not closed"
    BROKEN = "text follows a closing quote"


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a record, unquoted. `plain` is False where a quote stands inside an unquoted field."""

    values: list[bytes]
    plain: bool = True
    quoted_empty: frozenset[int] = frozenset()
    """Places of the empty fields that are quoted: an empty text, where those without quotes are nothing."""


def parse(record: bytes, delimiter: bytes) -> Fields | Flaw:
    """Fields of a record without its line end."""
    if QUOTE not in record:
        return Fields(record.split(delimiter))
    values: list[bytes] = []
    plain = True
    quoted_empty: set[int] = set()
    position, end = 0, len(record)
    while True:
        if record[position : position + 1] == QUOTE:
            match = _QUOTED.match(record, position)
            if match is None:
                return Flaw.OPEN
            if not match.group(1):
                quoted_empty.add(len(values))
            values.append(match.group(1).replace(b'""', QUOTE))
            position = match.end()
            if position < end and record[position : position + 1] != delimiter:
                return Flaw.BROKEN
        else:
            stop = record.find(delimiter, position)
            stop = end if stop < 0 else stop
            value = record[position:stop]
            plain = plain and QUOTE not in value
            values.append(value)
            position = stop
        if position >= end:
            return Fields(values, plain, frozenset(quoted_empty))
        position += 1  # the delimiter
        if position == end:
            values.append(b"")
            return Fields(values, plain, frozenset(quoted_empty))


def closes(line: bytes) -> bool:
    """Whether a quote that was opened on an earlier line is closed on this one."""
    return _CLOSES.match(line) is not None


def write(fields: Fields, delimiter: bytes) -> bytes:
    """The record with every field quoted, except those that are empty without quotes; without a line end."""
    return delimiter.join(
        QUOTE + value.replace(QUOTE, b'""') + QUOTE if value or place in fields.quoted_empty else b""
        for place, value in enumerate(fields.values)
    )
