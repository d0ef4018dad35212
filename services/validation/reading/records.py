"""The grammar of one record, told strictly: what breaks it is said, never guessed around.

A quote inside an unquoted field, not at its start (`5" pipe`), is data: every reader agrees on it
and no value moves.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

QUOTE = b'"'
_OPENED_WITHIN = re.compile(rb'[^"]"[^"]')
_CLOSED_LATER = re.compile(rb'^[^"]*[^"\d]"$')
MAX_REPAIRS = 64
"""Ways of reading a broken record that are tried."""


@dataclass(frozen=True)
class Grammar:
    """How records are built. The default is RFC 4180's but for the delimiter."""

    delimiter: bytes
    quote: bytes = QUOTE
    """Empty where nothing quotes."""
    escape: bytes = QUOTE
    """What makes a quote within a quoted value data. Empty: a quote ends the value only where a
    delimiter or the end follows.
    """
    blank: bool = False
    """Whether a blank that follows a delimiter is no part of the value."""

    @property
    def is_plain(self) -> bool:
        """Whether the fast readers know it."""
        return self.quote == QUOTE and self.escape == QUOTE and not self.blank

    @cached_property
    def _quoted(self) -> "re.Pattern[bytes]":
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        if self.escape == self.quote:
            return re.compile(b"%b((?:[^%b]++|%b%b)*+)%b" % (quote, quote, quote, quote, quote))
        if self.escape:
            return re.compile(
                rb"(?s)%b((?:[^%b%b]++|%b.)*+)%b" % (quote, quote, escape, escape, quote)
            )
        end = re.escape(self.delimiter)
        return re.compile(rb"%b((?:[^%b]++|%b(?!%b|\Z))*+)%b" % (quote, quote, quote, end, quote))

    @cached_property
    def _closing(self) -> "re.Pattern[bytes]":
        pattern = self._quoted.pattern
        return re.compile(pattern.replace(re.escape(self.quote), b"", 1))

    def _unescaped(self, inner: bytes) -> bytes:
        if self.escape == self.quote:
            return inner.replace(self.quote * 2, self.quote)
        if self.escape and self.escape in inner:
            escape = re.escape(self.escape)
            return re.sub(
                rb"%b([%b%b%b])"
                % (escape, escape, re.escape(self.quote), re.escape(self.delimiter)),
                rb"\1",
                inner,
            )
        return inner

    def parse(self, record: bytes, *, unquoted: int = -1) -> "Fields | Flaw":
        """Fields of a record without its line end. The field at the place `unquoted` is taken as if
        its quotes were data.
        """
        if not self.quote or self.quote not in record:
            return Fields(self._split(record), QUOTE not in record)
        values: list[bytes] = []
        plain = True
        quoted_empty: set[int] = set()
        position, end = 0, len(record)
        while True:
            if self.blank and values and record[position : position + 1] == b" ":
                position += 1
            if record[position : position + 1] == self.quote and len(values) != unquoted:
                match = self._quoted.match(record, position)
                if match is None:
                    return Flaw.OPEN
                if not match.group(1):
                    quoted_empty.add(len(values))
                values.append(self._unescaped(match.group(1)))
                position = match.end()
                if position < end and record[position : position + 1] != self.delimiter:
                    return Flaw.BROKEN
            else:
                stop = record.find(self.delimiter, position)
                stop = end if stop < 0 else stop
                value = record[position:stop]
                plain = plain and QUOTE not in value
                values.append(value)
                position = stop
            if position >= end:
                if not plain and self._lost_delimiter(values):
                    return Flaw.BROKEN
                return Fields(values, plain, frozenset(quoted_empty))
            position += 1  # the delimiter
            if position == end:
                values.append(b"")
                if not plain and self._lost_delimiter(values):
                    return Flaw.BROKEN
                return Fields(values, plain, frozenset(quoted_empty))

    def _lost_delimiter(self, values: Sequence[bytes]) -> bool:
        """Whether a quoted value seems to begin within a field and to end a later one (`a"b,c",d`):
        a delimiter is missing before it.

        Signs of inches and seconds, which follow a digit, are none of it.
        """
        opened = False
        for value in values:
            if opened and _CLOSED_LATER.search(value):
                return True
            opened = opened or (
                value.count(self.quote) % 2 == 1 and _OPENED_WITHIN.search(value) is not None
            )
        return False

    def _split(self, record: bytes) -> list[bytes]:
        values = record.split(self.delimiter)
        if self.blank:
            values[1:] = [value.removeprefix(b" ") for value in values[1:]]
        return values

    def fields_if_open(self, record: bytes) -> int:
        """Fields of a record whose last one is open, that one included; 0 where it is broken."""
        closed = self.parse(record + b"\n" + self.quote)
        return len(closed.values) if isinstance(closed, Fields) else 0

    def closing(self, line: bytes) -> "Closing | Flaw":
        """What a line tells of the value that was opened on an earlier one: OPEN where it goes on,
        BROKEN where text follows its closing quote."""
        match = self._closing.match(line) if self.quote else None
        if match is None:
            return Flaw.OPEN
        rest = line[match.end() :]
        if rest and not rest.startswith(self.delimiter):
            return Flaw.BROKEN
        # The value itself is one letter here.
        parsed = self.parse(b"x" + rest)
        if parsed is Flaw.OPEN:
            return Closing(self.fields_if_open(b"x" + rest), open=True)
        return Closing(len(parsed.values), open=False) if isinstance(parsed, Fields) else parsed

    def repaired(self, record: bytes, fields: int) -> list[bytes] | None:
        """What a record that breaks the grammar may have meant: the first other reading that has
        `fields` fields. Never loaded, only shown.
        """
        for parsed in self._other_readings(record):
            if isinstance(parsed, Fields) and len(parsed.values) == fields:
                return parsed.values
        return None

    def _other_readings(self, record: bytes) -> "Iterator[Fields | Flaw]":
        # A quote is data where it ends no value, ...
        loose = Grammar(self.delimiter, self.quote, b"", self.blank)
        yield loose.parse(record)
        # ... or as the start of a field.
        for place in range(min(fields_at_most(record, self.delimiter), MAX_REPAIRS)):
            yield self.parse(record, unquoted=place)
            yield loose.parse(record, unquoted=place)


def fields_at_most(record: bytes, delimiter: bytes) -> int:
    """Fields that a record has where no delimiter is quoted."""
    return record.count(delimiter) + 1


class Flaw(Enum):
    """Why bytes are not a record."""

    OPEN = "a quote is opened and not closed"
    BROKEN = "text follows a closing quote"


@dataclass(frozen=True, slots=True)
class Closing:
    """A line on which a value ends that was opened on an earlier one."""

    fields: int
    """Fields from that value on, that one included."""
    open: bool
    """Whether the last of them goes on over the line's end."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a record, unquoted. `plain` is False where a double quote stands inside an
    unquoted field.
    """

    values: list[bytes]
    plain: bool = True
    quoted_empty: frozenset[int] = frozenset()
    """Places of the empty fields that are quoted: an empty text, where those without quotes are
    nothing.
    """


def write(fields: Fields, delimiter: bytes) -> bytes:
    """The record in the plain grammar with every field quoted, except those that are empty without
    quotes; without a line end.
    """
    return delimiter.join(
        QUOTE + value.replace(QUOTE, b'""') + QUOTE
        if value or place in fields.quoted_empty
        else b""
        for place, value in enumerate(fields.values)
    )
