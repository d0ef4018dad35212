"""How the text of a CSV file is built, decided by evidence from its beginning. The structure scan then holds every line to it."""

from collections import Counter
from dataclasses import dataclass

from services.validation.records import Fields, Flaw, closes, parse

DELIMITERS = (b",", b";", b"\t", b"|")
SAMPLE_LINES = 500
MAX_LINES_OF_RECORD = 200
"""Most lines that one quoted value may span."""


@dataclass(frozen=True)
class Guess:
    """The delimiter, the fields of the first record, and how the records after it are built."""

    delimiter: bytes
    header_fields: int
    usual_fields: int
    """The most frequent number of fields below the header; the header's own where there is nothing below."""
    usual_share: float


def line_end(text: bytes) -> bytes:
    r"""b"\n" (also for CRLF) or b"\r", by what the text has."""
    return b"\n" if b"\n" in text or b"\r" not in text else b"\r"


def line_end_name(text: bytes) -> str:
    """LF, CRLF or CR: the most frequent one."""
    crlf = text.count(b"\r\n")
    counts = {"LF": text.count(b"\n") - crlf, "CRLF": crlf, "CR": 0 if b"\n" in text else text.count(b"\r")}
    return max(counts, key=lambda name: counts[name])


def guess(lines: list[bytes]) -> Guess:
    """The delimiter under which the records agree best with the first one. `lines` have no line ends; the first is not blank."""
    guesses = [_try(lines[:SAMPLE_LINES], delimiter) for delimiter in DELIMITERS]
    return max(guesses, key=lambda pair: pair[0])[1]


def _try(lines: list[bytes], delimiter: bytes) -> tuple[float, Guess]:
    counts = _field_counts(lines, delimiter)
    header = counts[0] if counts else 1
    below = Counter(counts[1:])
    usual, times = below.most_common(1)[0] if below else (header, 1)
    total = sum(below.values()) or 1
    agreeing = below[header] / total if below else 1.0
    # Many fields in agreement are stronger evidence than few: prose has a comma or two in many lines.
    # A header that disagrees with all of its rows still says a little: its fields are better than none.
    score = (agreeing + 0.01) * (1 - 1 / header)
    return score, Guess(delimiter, header, usual, times / total)


def _field_counts(lines: list[bytes], delimiter: bytes) -> list[int]:
    counts = []
    index = 0
    while index < len(lines):
        record = lines[index]
        index += 1
        if not record.strip():
            continue
        parsed = parse(record, delimiter)
        if parsed is Flaw.OPEN:
            for last in range(index, min(index + MAX_LINES_OF_RECORD, len(lines))):
                if closes(lines[last]):
                    joined = parse(b"\n".join([record, *lines[index : last + 1]]), delimiter)
                    if isinstance(joined, Fields):
                        parsed, index = joined, last + 1
                    break
        if isinstance(parsed, Fields):
            counts.append(len(parsed.values))
    return counts
