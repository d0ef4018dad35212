"""How the text of a CSV file is built and where its table begins, decided by evidence from its
beginning.

The structure scan then holds every line to it.
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
"""Delimiters that need stronger evidence, as they stand in values too."""
RARE_WEIGHT = 0.8
BONUS = 0.001
"""For a grammar that was tried as there is a sign of it: of equals it is the one."""
APOSTROPHES_SHARE = 0.1
"""Apostrophes around values, per line, from which they are quotes."""
SAMPLE_LINES = 500
DAMAGED_SHARE = 0.9
"""Share of the rows that must agree on another number of fields for the header to be the one that
is wrong.
"""
HEADER_FILLED_SHARE = 0.5
"""Share of a header's fields that have a name; titles above a table have fewer."""
AGREEING_SHARE = 0.3
"""Share of the rows that must agree with the header under a rare delimiter."""
TITLE_SHARE = 0.6
"""Share of the rows' fields from which a line above the table is no title."""
TYPED_SHARE = 0.8
"""Share of a column's values that look like numbers or times for its first row to be judged by
it.
"""
JUDGED_ROWS = 50

_SIGN = rb"(?:[$]|\xc2[\xa3\xa5]|\xe2\x82\xac)?"
_TYPED = re.compile(
    rb"^[\s(]*[+-]?%b[\d.,:/+\-%%\s'TZ]*\d[\d.,:/+\-%%\sTZeE)']*%b(?:\s[A-Z]{3})?$" % (_SIGN, _SIGN)
)
"""What looks like a number, an amount or a time, in any writing of them."""
_YEAR = re.compile(rb"^\s*(?:19|20)\d\d\s*$")


@dataclass(frozen=True)
class Record:
    """One record of the sample: its place among the lines, from 0, how many it spans, and its
    fields.
    """

    at: int
    lines: int
    parsed: Fields | Flaw
    raw: bytes

    @property
    def count(self) -> int:
        """Number of its fields; 0 where it has a flaw."""
        return len(self.parsed.values) if isinstance(self.parsed, Fields) else 0

    @property
    def cells(self) -> list[bytes]:
        """Its fields; none where it has a flaw."""
        return self.parsed.values if isinstance(self.parsed, Fields) else []

    @property
    def filled(self) -> int:
        """Number of its fields that are not blank."""
        return sum(bool(cell.strip()) for cell in self.cells)


@dataclass(frozen=True)
class Layout:
    """How the text is built, and where the table begins."""

    grammar: Grammar
    header: list[bytes] | None
    """None where the first row is data."""
    header_at: int
    """Place of the header's line among the lines of the sample, from 0; of the first row where
    there is no header.
    """
    body_at: int
    """Place of the line of the first row."""
    fields: int
    """Fields of every row."""
    damage: str = ""
    """What is wrong with the header; empty where nothing is."""


def line_end(text: bytes) -> bytes:
    r"""b"\n" (also for CRLF) or b"\r", by what the text has."""
    return b"\n" if b"\n" in text or b"\r" not in text else b"\r"


def line_end_name(text: bytes) -> str:
    """LF, CRLF or CR: the most frequent one."""
    crlf = text.count(b"\r\n")
    counts = {
        "LF": text.count(b"\n") - crlf,
        "CRLF": crlf,
        "CR": 0 if b"\n" in text else text.count(b"\r"),
    }
    return max(counts, key=lambda name: counts[name])


def lay_out(lines: Sequence[bytes], options: ReadOptions) -> Layout:
    """The layout of a text that begins with `lines`, which have no line ends. The first is not
    blank, unless the header's row is given.

    Raises:
        FileFault: HEADER_DAMAGED, OPTION_MISFIT.
    """
    sample = lines[: SAMPLE_LINES + max(0, options.header_row - 1)]
    skipped = max(0, options.header_row - 1)
    if skipped >= len(sample):
        message = f"The header is said to be in line {options.header_row:,}, which the beginning of the file does not have."
        raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="header_row")
    grammar, records = _grammar(sample, skipped, options)
    if not records:
        raise FileFault(
            ErrorReason.ERROR_REASON_OPTION_MISFIT,
            "There is nothing in or below the header's line.",
            value="header_row",
        )
    return _begin(grammar, records, options)


def _grammar(
    lines: Sequence[bytes], skipped: int, options: ReadOptions
) -> tuple[Grammar, list[Record]]:
    """The grammar under which the records agree best, and the records under it."""
    best: tuple[float, Grammar, list[Record]] | None = None
    for grammar in _candidates(lines[skipped:], options):
        records = list(split(lines, skipped, grammar))
        score = _score(grammar, records)
        # The first of equals: they come from the most usual to the rarest.
        if best is None or score > best[0] + 1e-9:
            best = score, grammar, records
    if best is None:
        raise RuntimeError("no grammar was tried")
    _, grammar, records = best
    if options.escape or grammar.quote == b"'":
        return grammar, records
    return _escape(lines, skipped, grammar, records)


def _candidates(lines: Sequence[bytes], options: ReadOptions) -> Iterator[Grammar]:
    given = options.delimiter.encode()
    if len(given) == 2 and given[1:] != b" ":
        message = (
            f"The delimiter {options.delimiter!r} is neither one character nor one and a blank."
        )
        raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="delimiter")
    text = b"\n".join(lines)
    delimiters = (
        [given[:1]]
        if given
        else [*COMMON, *(rare for rare in RARE if text.count(rare) * 2 >= len(lines))]
    )
    for delimiter in delimiters:
        for quote in _quotes(text, delimiter, options):
            # Apostrophes are part of words: they end a value only where a delimiter follows, unless
            # some are doubled.
            usual_escape = b"" if quote == b"'" and not re.search(rb"\w''\w", text) else quote
            escape = options.escape.encode() or usual_escape
            if given:
                yield Grammar(delimiter, quote, escape, blank=len(given) == 2)
                continue
            yield Grammar(delimiter, quote, escape)
            if _followed_by_blank(lines, delimiter):
                yield Grammar(delimiter, quote, escape, blank=True)


def _quotes(text: bytes, delimiter: bytes, options: ReadOptions) -> list[bytes]:
    if options.quote == "none":
        return [b""]
    if options.quote:
        return [options.quote.encode()[:1]]
    d = re.escape(delimiter)
    # One that stands alone in its field is a value.
    opened = len(re.findall(rb"(?:^|%b|%b )'(?!%b)[^'\r\n]" % (d, d, d), text, re.MULTILINE))
    closed = len(re.findall(rb"(?!%b)[^'\r\n]'(?:\r?$|%b)" % (d, d), text, re.MULTILINE))
    many = max(2, APOSTROPHES_SHARE * text.count(b"\n"))
    return (
        [b'"', b"'"]
        if opened >= many and closed >= many and 0.5 <= opened / closed <= 2
        else [b'"']
    )


def _followed_by_blank(lines: Sequence[bytes], delimiter: bytes) -> bool:
    """Whether a blank follows every delimiter of the first lines, so that it may belong to it."""
    if delimiter == b" ":
        return False
    head = [line for line in lines[:JUDGED_ROWS] if delimiter in line]
    # One that ends its line has no room for the blank.
    return bool(head) and all(
        line.count(delimiter) - line.endswith(delimiter) <= line.count(delimiter + b" ")
        for line in head
    )


def _score(grammar: Grammar, records: Sequence[Record]) -> float:
    counts = [record.count for record in records]
    if grammar.quote == b"'":
        # Apostrophes that only match across lines enclose nothing.
        counts = [0 if record.lines > 1 else record.count for record in records]
        if not any(counts[1:]):
            return 0.0
    usual, share = _usual(counts)
    # Many fields in agreement are stronger evidence than few: prose has a comma or two in many
    # lines.
    weight = 1.0
    if grammar.delimiter in RARE:
        if usual < 2 or counts[0] != usual or share < AGREEING_SHARE:
            return 0.0
        weight = RARE_WEIGHT
    first = 0.01 * (1 - 1 / counts[0]) if counts[0] else 0.0
    score = weight * (share * (1 - 1 / usual) + first)
    if grammar.quote == b"'":
        score += BONUS
    return score + BONUS if grammar.blank and counts[0] == usual else score


def _usual(counts: Sequence[int]) -> tuple[int, float]:
    """The most frequent number of fields below the first record, or its own where there is nothing
    below, and its share.
    """
    below = Counter(count for count in counts[1:] if count)
    if not below:
        return (counts[0] or 1 if counts else 1), 1.0
    usual, times = below.most_common(1)[0]
    return usual, times / (len(counts) - 1)


def _escape(
    lines: Sequence[bytes], skipped: int, grammar: Grammar, records: list[Record]
) -> tuple[Grammar, list[Record]]:
    """Another escape than the doubled quote where that explains several records which are broken
    else, and no quote is doubled.
    """
    flawed = [record for record in records if isinstance(record.parsed, Flaw)]
    if len(flawed) < 2 or not grammar.quote:
        return grammar, records
    quote = grammar.quote
    if any(
        quote in cell
        for record in records
        for cell in record.cells
        if not (isinstance(record.parsed, Fields) and not record.parsed.plain)
    ):
        return grammar, records
    usual, _ = _usual([record.count for record in records])
    candidates = [b"\\"] if any(b"\\" + quote in record.raw for record in flawed) else []
    for escape in [*candidates, b""]:
        other = Grammar(grammar.delimiter, quote, escape, grammar.blank)
        found = list(split(lines, skipped, other))
        if all(
            record.count == usual for record in found if record.at in {bad.at for bad in flawed}
        ) and len(found) >= len(records):
            return other, found
    return grammar, records


def split(lines: Sequence[bytes], start: int, grammar: Grammar) -> Iterator[Record]:
    """The records of `lines` from the place `start` on, without those that are blank."""
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
            if last is None and not _go_on_as_before(lines[at + 1 :], grammar, counts):
                # The value goes on beyond the lines that are here.
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
    """Place of the line on which the record ends that is open at the end of line `at`: None where
    that is none of these lines, 0 where its quote is broken."""
    for place in range(at + 1, len(lines)):
        closing = grammar.closing(lines[place])
        if closing is Flaw.BROKEN:
            return 0
        if isinstance(closing, Closing) and not closing.open:
            return place
    return None


def _go_on_as_before(lines: Sequence[bytes], grammar: Grammar, counts: "Counter[int]") -> bool:
    """Whether most of the lines are rows, as wide as the records above them or wider: then the
    quote before them is broken. The lines of a long text have fewer delimiters."""
    usual = next((count for count, _ in counts.most_common() if count > 1), 0)
    near = [grammar.parse(line) for line in lines[:JUDGED_ROWS] if line.strip()]
    rows = sum(isinstance(parsed, Fields) and len(parsed.values) >= usual for parsed in near)
    return not usual or rows * 2 >= len(near)


def _begin(grammar: Grammar, records: list[Record], options: ReadOptions) -> Layout:
    """Where the table begins."""
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
        return _headed(grammar, first, usual, share)
    if (
        first.count != usual
        and first.count > 1
        and share < DAMAGED_SHARE
        and first.filled >= max(2, usual * HEADER_FILLED_SHARE)
    ):
        # Rows of several lengths: the first line rules.
        return _headed(grammar, first, usual, share)
    place = _header_place(records, usual)
    header, below = records[place], records[place + 1 : place + 1 + JUDGED_ROWS]
    votes = (
        1
        if options.header == Header.HEADER_YES
        else names_or_data(header.cells, [row.cells for row in below if row.count == usual])
    )
    if place and votes <= 0:
        above = records[place - 1]
        # What is above it is a title, unless it is nearly as long as the rows: then it is the
        # header, and damaged.
        if votes < 0 or above.filled >= max(2, usual * TITLE_SHARE):
            return _damaged(grammar, above, header.at, usual)
    if votes < 0:
        return Layout(grammar, None, header.at, header.at, usual)
    return Layout(grammar, header.cells, header.at, header.at + header.lines, usual)


def _header_place(records: Sequence[Record], usual: int) -> int:
    """The first record that is as long as the rows and has names in it."""
    least = max(2, usual * HEADER_FILLED_SHARE)
    fitting = [place for place, record in enumerate(records) if record.count == usual]
    return next(
        (place for place in fitting if records[place].filled >= least), fitting[0] if fitting else 0
    )


def _headed(grammar: Grammar, header: Record, usual: int, share: float) -> Layout:
    """The record is the header, whether or not the rows agree with it."""
    body_at = header.at + header.lines
    if not header.count:
        return _damaged(grammar, header, body_at, usual if share >= DAMAGED_SHARE else 1)
    if header.count != usual and share >= DAMAGED_SHARE:
        return _damaged(grammar, header, body_at, usual)
    return Layout(grammar, header.cells, header.at, body_at, header.count)


def _damaged(grammar: Grammar, header: Record, body_at: int, usual: int) -> Layout:
    """A header that does not fit its rows. Its names are shown as far as they can be told; the file
    is not loaded.
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
        # Names of nothing go first.
        for place in [place for place, name in enumerate(names) if not name.strip()][
            : len(names) - usual
        ]:
            names = [*names[:place], *names[place + 1 :]]
    return Layout(grammar, [*names, *[b""] * usual][:usual], header.at, body_at, usual, damage)


def names_or_data(first: Sequence[bytes], below: Sequence[Sequence[bytes]]) -> int:
    """Whether the first row holds names (1) or values like those of the rows below it (-1); 0 where
    nothing tells.

    Only columns that hold numbers or times tell: it has one of them there, or a name.
    """
    data, years = 0, []
    for place, cell in enumerate(first):
        values = [row[place] for row in below if place < len(row) and row[place].strip()]
        if (
            not values
            or sum(_TYPED.match(value) is not None for value in values) < len(values) * TYPED_SHARE
        ):
            continue
        if not cell.strip():
            continue
        if not _TYPED.match(cell):
            return 1
        data += 1
        if _YEAR.match(cell) and not all(map(_YEAR.match, values)):
            years.append(int(cell))
    # Years in ascending order are names of columns, as of a table turned round.
    if len(years) >= 2 and years == sorted(set(years)) and len(years) >= data - 1:
        return 1
    return -1 if data else 0
