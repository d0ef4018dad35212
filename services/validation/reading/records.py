"""The grammar of one record. It is strict: a record that breaks it is reported, never guessed.

A quote inside an unquoted field, not at its start (`5" pipe`), is data: all readers agree on it, and
the other values keep their columns.
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
"""Fields of a broken record that `Grammar.repaired` tries to read as unquoted."""


@dataclass(frozen=True)
class Grammar:
    """The dialect of a record. The default is RFC 4180 with any delimiter."""

    delimiter: bytes
    quote: bytes = QUOTE
    """Empty if there is no quote character."""
    escape: bytes = QUOTE
    """The character before a quote inside a value. Empty: a quote ends the value only before a
    delimiter or the end.
    """
    space: bool = False
    """Whether a space after a delimiter belongs to the delimiter."""

    @property
    def is_plain(self) -> bool:
        """Whether Polars can read it."""
        return self.quote == QUOTE and self.escape == QUOTE and not self.space

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
        """Return the fields of a record, which has no line end. Quotes are data in the field with
        the index `unquoted`.
        """
        if not self.quote or self.quote not in record:
            return Fields(self._split(record), QUOTE not in record)
        values: list[bytes] = []
        plain = True
        quoted_empty: set[int] = set()
        position, end = 0, len(record)
        while True:
            if self.space and values and record[position : position + 1] == b" ":
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
            if position == end - 1:
                values.append(b"")
            if position >= end - 1:
                if not plain and self._lacks_delimiter(values):
                    return Flaw.BROKEN
                return Fields(values, plain, frozenset(quoted_empty))
            position += 1  # the delimiter

    def _lacks_delimiter(self, values: Sequence[bytes]) -> bool:
        """Return whether a quoted value seems to begin inside a field and to end with a later one
        (`a"b,c",d`): then the delimiter before it is missing.

        Quotes after a digit are signs of inches or seconds.
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
        if self.space:
            values[1:] = [value.removeprefix(b" ") for value in values[1:]]
        return values

    def fields_if_open(self, record: bytes) -> int:
        """Return the number of fields of a record whose last field is open; 0 if it is broken."""
        closed = self.parse(record + b"\n" + self.quote)
        return len(closed.values) if isinstance(closed, Fields) else 0

    def closing(self, line: bytes) -> "Closing | Flaw":
        """Return how a line ends the value that an earlier line opened: OPEN if the value continues,
        BROKEN if text follows its closing quote.
        """
        match = self._closing.match(line) if self.quote else None
        if match is None:
            return Flaw.OPEN
        rest = line[match.end() :]
        if rest and not rest.startswith(self.delimiter):
            return Flaw.BROKEN
        # The letter stands for the value.
        parsed = self.parse(b"x" + rest)
        if parsed is Flaw.OPEN:
            return Closing(self.fields_if_open(b"x" + rest), open=True)
        return Closing(len(parsed.values), open=False) if isinstance(parsed, Fields) else parsed

    def repaired(self, record: bytes, fields: int) -> list[bytes] | None:
        """Return the values that a broken record may have: those of the first other reading with
        `fields` fields. They are shown, but never loaded.
        """
        for parsed in self._other_readings(record):
            if isinstance(parsed, Fields) and len(parsed.values) == fields:
                return parsed.values
        return None

    def _other_readings(self, record: bytes) -> "Iterator[Fields | Flaw]":
        # A quote is data if it does not end a value, ...
        loose = Grammar(self.delimiter, self.quote, b"", self.space)
        yield loose.parse(record)
        # ... or if it begins a field.
        for index in range(min(record.count(self.delimiter) + 1, MAX_REPAIRS)):
            yield self.parse(record, unquoted=index)
            yield loose.parse(record, unquoted=index)


class Flaw(Enum):
    """Why text is not a record."""

    OPEN = "a quoted value is not closed"
    BROKEN = "text follows a closing quote"


@dataclass(frozen=True, slots=True)
class Closing:
    """A line that ends the value that an earlier line opened."""

    fields: int
    """Number of fields from that value on."""
    open: bool
    """Whether the last of them continues on the next line."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a record."""

    values: list[bytes]
    """The values without their quotes."""
    plain: bool = True
    """Whether no unquoted field contains a double quote."""
    quoted_empty: frozenset[int] = frozenset()
    """Indexes of empty fields with quotes: they are empty strings, those without quotes are null.
    """


def write(fields: Fields, delimiter: bytes) -> bytes:
    """Return the record in the plain grammar, without a line end. All fields are quoted, except for
    nulls.
    """
    return delimiter.join(
        QUOTE + value.replace(QUOTE, b'""') + QUOTE
        if value or index in fields.quoted_empty
        else b""
        for index, value in enumerate(fields.values)
    )
