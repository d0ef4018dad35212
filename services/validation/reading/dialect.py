"""Detect the dialect of a CSV file and where its table begins, from a sample of its first lines.

The structural scan then checks every line against it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.validation.reading.faults import FileFault
from services.validation.reading.records import Closing, Fields, Flaw, Grammar
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import Header, ReadOptions

COMMON = (b",", b";", b"\t", b"|")
RARE = (b":", b"~", b"^", b"\x1f", b" ")
"""Delimiters that need stronger evidence, because values contain them too."""
RARE_WEIGHT = 0.8
BONUS = 0.001
"""Added to the score of a grammar that the text has evidence for, so that it wins a tie."""
MIN_APOSTROPHES_PER_LINE = 0.1
"""Apostrophes around values per line that make them a candidate for the quote character."""
SAMPLE_LINES = 500
DAMAGED_SHARE = 0.9
"""The header is damaged if this share of the rows agrees on another number of fields."""
HEADER_FILLED_SHARE = 0.5
"""Least share of a header's fields that have a name; titles above a table have fewer."""
AGREEING_SHARE = 0.3
"""Least share of the rows that agree with the header under a rare delimiter."""
TITLE_SHARE = 0.6
"""A line above the table with this share of the rows' fields is not a title."""
TYPED_SHARE = 0.8
"""A column is evidence for or against a header if this share of its values are numbers or times."""
HEADER_SAMPLE_ROWS = 50

_SIGN = rb"(?:[$]|\xc2[\xa3\xa5]|\xe2\x82\xac)?"
_TYPED = re.compile(
    rb"^[\s(]*[+-]?%b[\d.,:/+\-%%\s'TZ]*\d[\d.,:/+\-%%\sTZeE)']*%b(?:\s[A-Z]{3})?$" % (_SIGN, _SIGN)
)
"""Matches numbers, amounts and times in any notation."""
_YEAR = re.compile(rb"^\s*(?:19|20)\d\d\s*$")


@dataclass(frozen=True)
class Record:
    """One record of the sample."""

    at: int
    """Index of its first line."""
    lines: int
    """Number of its lines."""
    parsed: Fields | Flaw
    raw: bytes
    """Its first line."""

    @property
    def cells(self) -> list[bytes]:
        """Its values; none if it has a flaw."""
        return self.parsed.values if isinstance(self.parsed, Fields) else []

    @property
    def count(self) -> int:
        """Number of its fields; 0 if it has a flaw."""
        return len(self.cells)

    @property
    def filled(self) -> int:
        """Number of its values that are not blank."""
        return sum(bool(cell.strip()) for cell in self.cells)


@dataclass(frozen=True)
class Layout:
    """The grammar of a text, and where its table begins."""

    grammar: Grammar
    header: list[bytes] | None
    """None if the first row is data."""
    header_at: int
    """Index of the header's first line in the sample, or of the first row if there is no header."""
    body_at: int
    """Index of the line of the first row."""
    fields: int
    """Number of fields of a row."""
    damage: str = ""
    """What is wrong with the header; empty if nothing is."""


def line_end(text: bytes) -> bytes:
    r"""Return the line end of the text: b"\n" (also for CRLF) or b"\r"."""
    return b"\n" if b"\n" in text or b"\r" not in text else b"\r"


def line_end_name(text: bytes) -> str:
    """Return the most frequent line end: LF, CRLF or CR."""
    crlf = text.count(b"\r\n")
    counts = {
        "LF": text.count(b"\n") - crlf,
        "CRLF": crlf,
        "CR": 0 if b"\n" in text else text.count(b"\r"),
    }
    return max(counts, key=lambda name: counts[name])


def lay_out(lines: Sequence[bytes], options: ReadOptions) -> Layout:
    """Return the layout of a text that begins with `lines`, which have no line ends.

    The first line is not blank, unless the header's line is specified.

    Raises:
        FileFault: OPTION_MISFIT.
    """
    skipped = max(0, options.header_row - 1)
    sample = lines[: SAMPLE_LINES + skipped]
    if not any(line.strip() for line in sample[skipped:]):
        raise FileFault(
            ErrorReason.ERROR_REASON_OPTION_MISFIT,
            f"Line {options.header_row:,} is specified as the header, but the beginning of the file has no text in or below it.",
            value="header_row",
        )
    grammar, records = _detect_grammar(sample, skipped, options)
    return _locate_table(grammar, records, options)


def _detect_grammar(
    lines: Sequence[bytes], skipped: int, options: ReadOptions
) -> tuple[Grammar, list[Record]]:
    """Return the grammar under which the records agree best, and these records."""
    best: tuple[float, Grammar, list[Record]] | None = None
    for grammar in _candidates(lines[skipped:], options):
        records = list(split(lines, skipped, grammar))
        score = _score(grammar, records)
        # The first wins a tie: candidates are ordered from common to rare.
        if best is None or score > best[0] + 1e-9:
            best = score, grammar, records
    if best is None:
        raise RuntimeError("no grammar was tried")
    _, grammar, records = best
    if options.escape or grammar.quote == b"'":
        return grammar, records
    return _detect_escape(lines, skipped, grammar, records)


def _candidates(lines: Sequence[bytes], options: ReadOptions) -> Iterator[Grammar]:
    specified = options.delimiter.encode()
    if len(specified) == 2 and specified[1:] != b" ":
        raise FileFault(
            ErrorReason.ERROR_REASON_OPTION_MISFIT,
            f"The delimiter {options.delimiter!r} is neither one character nor one and a space.",
            value="delimiter",
        )
    text = b"\n".join(lines)
    delimiters = (
        [specified[:1]]
        if specified
        else [*COMMON, *(rare for rare in RARE if text.count(rare) * 2 >= len(lines))]
    )
    for delimiter in delimiters:
        for quote in _quotes(text, delimiter, options):
            # Words contain apostrophes: unless some are doubled, one ends a value only before a
            # delimiter.
            default_escape = b"" if quote == b"'" and not re.search(rb"\w''\w", text) else quote
            escape = options.escape.encode() or default_escape
            yield Grammar(delimiter, quote, escape, space=len(specified) == 2)
            if not specified and _followed_by_space(lines, delimiter):
                yield Grammar(delimiter, quote, escape, space=True)


def _quotes(text: bytes, delimiter: bytes, options: ReadOptions) -> list[bytes]:
    if options.quote == "none":
        return [b""]
    if options.quote:
        return [options.quote.encode()[:1]]
    d = re.escape(delimiter)
    # A field of a single apostrophe is a value.
    opened = len(re.findall(rb"(?:^|%b|%b )'(?!%b)[^'\r\n]" % (d, d, d), text, re.MULTILINE))
    closed = len(re.findall(rb"(?!%b)[^'\r\n]'(?:\r?$|%b)" % (d, d), text, re.MULTILINE))
    many = max(2, MIN_APOSTROPHES_PER_LINE * text.count(b"\n"))
    return (
        [b'"', b"'"]
        if opened >= many and closed >= many and 0.5 <= opened / closed <= 2
        else [b'"']
    )


def _followed_by_space(lines: Sequence[bytes], delimiter: bytes) -> bool:
    """Return whether a space follows each delimiter of the first lines and may belong to it."""
    if delimiter == b" ":
        return False
    head = [line for line in lines[:HEADER_SAMPLE_ROWS] if delimiter in line]
    # No space follows a delimiter at the end of its line.
    return bool(head) and all(
        line.count(delimiter) - line.endswith(delimiter) <= line.count(delimiter + b" ")
        for line in head
    )


def _score(grammar: Grammar, records: Sequence[Record]) -> float:
    counts = [record.count for record in records]
    if grammar.quote == b"'":
        # Apostrophes that only pair up across lines are not quotes.
        counts = [0 if record.lines > 1 else record.count for record in records]
        if not any(counts[1:]):
            return 0.0
    usual, share = _usual(counts)
    # Agreement on many fields is stronger evidence: most lines of prose have a comma or two.
    weight = 1.0
    if grammar.delimiter in RARE:
        if usual < 2 or counts[0] != usual or share < AGREEING_SHARE:
            return 0.0
        weight = RARE_WEIGHT
    first = 0.01 * (1 - 1 / counts[0]) if counts[0] else 0.0
    score = weight * (share * (1 - 1 / usual) + first)
    if grammar.quote == b"'":
        score += BONUS
    return score + BONUS if grammar.space and counts[0] == usual else score


def _usual(counts: Sequence[int]) -> tuple[int, float]:
    """Return the most frequent number of fields below the first record and its share, or that of
    the first record if there are none below.
    """
    below = Counter(count for count in counts[1:] if count)
    if not below:
        return counts[0] or 1, 1.0
    usual, times = below.most_common(1)[0]
    return usual, times / (len(counts) - 1)


def _detect_escape(
    lines: Sequence[bytes], skipped: int, grammar: Grammar, records: list[Record]
) -> tuple[Grammar, list[Record]]:
    """Replace the doubled quote as the escape, if no quote is doubled and another escape explains
    several broken records.
    """
    flawed = [record for record in records if isinstance(record.parsed, Flaw)]
    if len(flawed) < 2 or not grammar.quote:
        return grammar, records
    quote = grammar.quote
    if any(
        quote in cell
        for record in records
        if isinstance(record.parsed, Fields) and record.parsed.plain
        for cell in record.cells
    ):
        return grammar, records
    usual, _ = _usual([record.count for record in records])
    candidates = [b"\\"] if any(b"\\" + quote in record.raw for record in flawed) else []
    for escape in [*candidates, b""]:
        other = Grammar(grammar.delimiter, quote, escape, grammar.space)
        found = list(split(lines, skipped, other))
        if all(
            record.count == usual for record in found if record.at in {bad.at for bad in flawed}
        ) and len(found) >= len(records):
            return other, found
    return grammar, records


def split(lines: Sequence[bytes], start: int, grammar: Grammar) -> Iterator[Record]:
    """Yield the records of `lines` from index `start` on, without blank ones."""
    at = start
    counts: Counter[int] = Counter()
    while at < len(lines):
        raw, taken = lines[at], 1
        if not raw.strip():
            at += 1
            continue
        parsed = grammar.parse(raw)
        if parsed is Flaw.OPEN:
            last = _last_line(lines, at, grammar)
            if last is None and not _are_rows(lines[at + 1 :], grammar, counts):
                # The value continues beyond the sample.
                taken = len(lines) - at
            elif last:
                joined = grammar.parse(b"\n".join(lines[at : last + 1]))
                if isinstance(joined, Fields):
                    parsed, taken = joined, last + 1 - at
        record = Record(at, taken, parsed, raw)
        counts[record.count] += 1
        yield record
        at += taken


def _last_line(lines: Sequence[bytes], at: int, grammar: Grammar) -> int | None:
    """Return the index of the last line of the record that is open at the end of line `at`: 0 if
    its quote is broken, None if the lines do not include it.
    """
    for index in range(at + 1, len(lines)):
        closing = grammar.closing(lines[index])
        if closing is Flaw.BROKEN:
            return 0
        if isinstance(closing, Closing) and not closing.open:
            return index
    return None


def _are_rows(lines: Sequence[bytes], grammar: Grammar, counts: "Counter[int]") -> bool:
    """Return whether most of the lines have at least the usual number of fields: then they are
    rows, and the quote before them is broken. The lines of a long value have fewer delimiters.
    """
    usual = next((count for count, _ in counts.most_common() if count > 1), 0)
    near = [grammar.parse(line) for line in lines[:HEADER_SAMPLE_ROWS] if line.strip()]
    rows = sum(isinstance(parsed, Fields) and len(parsed.values) >= usual for parsed in near)
    return not usual or rows * 2 >= len(near)


def _locate_table(grammar: Grammar, records: list[Record], options: ReadOptions) -> Layout:
    """Find the header and the first row."""
    counts = [record.count for record in records]
    usual, share = _usual(counts)
    first = records[0]
    if options.header == Header.HEADER_NO:
        start = (
            first
            if options.header_row
            else next((record for record in records if record.count == usual), first)
        )
        return Layout(grammar, None, start.at, start.at, start.count or usual)
    if options.header_row or usual < 2:
        return _with_header(grammar, first, usual, share)
    if (
        first.count != usual
        and first.count > 1
        and share < DAMAGED_SHARE
        and first.filled >= max(2, usual * HEADER_FILLED_SHARE)
    ):
        # The rows have different lengths, so the first line decides.
        return _with_header(grammar, first, usual, share)
    index = _header_index(records, usual)
    header, below = records[index], records[index + 1 : index + 1 + HEADER_SAMPLE_ROWS]
    votes = (
        1
        if options.header == Header.HEADER_YES
        else names_or_data(header.cells, [row.cells for row in below if row.count == usual])
    )
    if index and votes <= 0:
        above = records[index - 1]
        # The record above is a title, unless it is nearly as long as the rows: then it is the
        # header, and damaged.
        if votes < 0 or above.filled >= max(2, usual * TITLE_SHARE):
            return _damaged(grammar, above, header.at, usual)
    if votes < 0:
        return Layout(grammar, None, header.at, header.at, usual)
    return Layout(grammar, header.cells, header.at, header.at + header.lines, usual)


def _header_index(records: Sequence[Record], usual: int) -> int:
    """Return the index of the first record that is as long as the rows and has enough names."""
    least = max(2, usual * HEADER_FILLED_SHARE)
    fitting = [index for index, record in enumerate(records) if record.count == usual]
    return next(
        (index for index in fitting if records[index].filled >= least), fitting[0] if fitting else 0
    )


def _with_header(grammar: Grammar, header: Record, usual: int, share: float) -> Layout:
    """Return the layout with this record as the header, whether or not the rows agree with it."""
    body_at = header.at + header.lines
    if not header.count:
        return _damaged(grammar, header, body_at, usual if share >= DAMAGED_SHARE else 1)
    if header.count != usual and share >= DAMAGED_SHARE:
        return _damaged(grammar, header, body_at, usual)
    return Layout(grammar, header.cells, header.at, body_at, header.count)


def _damaged(grammar: Grammar, header: Record, body_at: int, usual: int) -> Layout:
    """Return the layout with a header that does not fit its rows. Its names are shown as far as
    they can be read, but the file is not loaded.
    """
    if isinstance(header.parsed, Flaw):
        names, damage = (
            grammar.repaired(header.raw, usual),
            f"cannot be read: {header.parsed.value}",
        )
    else:
        names, damage = header.cells, f"has {header.count} fields, the rows below it have {usual}"
    names = names or [b""] * usual
    if len(names) > usual:
        # Blank names are dropped first.
        for index in [index for index, name in enumerate(names) if not name.strip()][
            : len(names) - usual
        ]:
            names = [*names[:index], *names[index + 1 :]]
    return Layout(grammar, [*names, *[b""] * usual][:usual], header.at, body_at, usual, damage)


def names_or_data(first: Sequence[bytes], below: Sequence[Sequence[bytes]]) -> int:
    """Return whether the first row has names (1) or values like the rows below it (-1); 0 if there
    is no evidence.

    Only columns of numbers or times are evidence: the first row has one in them, or a name.
    """
    data, years = 0, []
    for index, cell in enumerate(first):
        values = [row[index] for row in below if index < len(row) and row[index].strip()]
        typed = sum(_TYPED.match(value) is not None for value in values)
        if not values or typed < len(values) * TYPED_SHARE or not cell.strip():
            continue
        if not _TYPED.match(cell):
            return 1
        data += 1
        if _YEAR.match(cell) and not all(map(_YEAR.match, values)):
            years.append(int(cell))
    # Years in ascending order are names, as in a pivot table.
    if len(years) >= 2 and years == sorted(set(years)) and len(years) >= data - 1:
        return 1
    return -1 if data else 0
