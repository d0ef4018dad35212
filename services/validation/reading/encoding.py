"""Detect the encoding of a text.

It is specified by the sender, certain, or assumed with a warning. Otherwise the file is rejected,
and the error names the most likely encoding. Text is never decoded with replacement characters.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.validation.reading import code_pages
from services.validation.reading.dialect import line_end
from services.validation.reading.faults import FileFault
from sluice.common.v1.errors_pb2 import ErrorReason

BLOCK_BYTES = 4 * 1024 * 1024
HEAD_BYTES = 64 * 1024
ZERO_SHARE = 0.7
"""Share of the zero bytes among every other byte of UTF-16 text."""
_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16le": codecs.BOM_UTF16_LE,
    "utf-16be": codecs.BOM_UTF16_BE,
}

# Letters of Western languages in windows-1252, without those whose bytes are frequent letters in
# other code pages.
_LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜàáâãäåæçèéêëìíîïñòóôõöøùúûüßŒœŠšŽžŸÿ"
_UPPER = "".join(c for c in _LETTERS if c.isupper()).encode("cp1252")
_LETTER = _LETTERS.encode("cp1252")
_SIGN = "€‚„…‘’“”•–—™\u00a0¡¢£¥§©ª«¬®°±²³´µ¶·¹º»¼½¾¿×÷".encode("cp1252")
_RUN = re.compile(rb"(?s)(.?)([\x80-\xff]+)(?=(.?))")

MAX_IMPLAUSIBLE_SHARE = 0.02
"""Share of the runs of non-ASCII bytes that may be implausible in windows-1252."""


@dataclass(frozen=True)
class DetectedEncoding:
    """The encoding of a text."""

    name: str
    bom: bool = False
    assumed: bool = False
    """Whether the file does not declare it."""


def detect(head: bytes, specified: str) -> DetectedEncoding:
    """Return the specified encoding, or detect that of a text that begins with `head`.

    The default is UTF-8, which the whole text has yet to prove.

    Raises:
        FileFault: OPTION_MISFIT: the specified encoding does not exist.
    """
    if specified:
        return _specified(specified, head)
    for name, bom in _BOMS.items():
        if head.startswith(bom) and not head.startswith(codecs.BOM_UTF32_LE):
            return DetectedEncoding(name, bom=True)
    if name := _utf16_without_bom(head):
        return DetectedEncoding(name, assumed=True)
    return DetectedEncoding("utf-8")


def detect_other_than_utf8(
    path: Path, detected: DetectedEncoding, specified: str
) -> DetectedEncoding:
    """Return the encoding of a text that was detected as UTF-8 but is not.

    Raises:
        FileFault: ENCODING_UNKNOWN, with the first line that is not UTF-8.
    """
    bad_line = _first_bad_line(path)
    if specified:
        raise FileFault(
            ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
            f"Line {bad_line} is not UTF-8.",
            line=bad_line,
        )
    if not detected.bom and _is_windows_1252(path):
        return DetectedEncoding("windows-1252", assumed=True)
    guess = None if detected.bom else code_pages.guess(_sample(path))
    if guess is not None and guess.sure:
        return DetectedEncoding(guess.name, assumed=True)
    likely, hint = "", ""
    if guess is not None and guess.excerpt:
        likely, hint = guess.name, f"; read as {guess.name} it contains {guess.excerpt!r}"
    raise FileFault(
        ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
        f"Line {bad_line} is not UTF-8, and no other encoding of the file could be detected reliably.",
        line=bad_line,
        value=likely,
        action=f"Save the file as UTF-8, or specify its encoding{hint}.",
    )


def _specified(specified: str, head: bytes) -> DetectedEncoding:
    try:
        name = codecs.lookup(specified).name
        "".encode(name)
    except (LookupError, ValueError):
        raise FileFault(
            ErrorReason.ERROR_REASON_OPTION_MISFIT,
            f"There is no text encoding {specified!r}.",
            value="encoding",
        ) from None
    name = {
        "utf-16-le": "utf-16le",
        "utf-16-be": "utf-16be",
        "cp1252": "windows-1252",
        "utf-8-sig": "utf-8",
    }.get(name, name)
    if name == "utf-16":
        name = "utf-16be" if head.startswith(codecs.BOM_UTF16_BE) else "utf-16le"
    return DetectedEncoding(name, bom=name in _BOMS and head.startswith(_BOMS[name]))


def _utf16_without_bom(head: bytes) -> str:
    """Detect UTF-16 of mostly Western text: nearly every other byte is zero, and no others are."""
    pairs = len(head) // 2
    if pairs < 2:
        return ""
    first, second = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if second > pairs * ZERO_SHARE and not first:
        return "utf-16le"
    return "utf-16be" if first > pairs * ZERO_SHARE and not second else ""


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the file in blocks that end at a line end, except in a very long line."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            block = rest + block
            cut = block.rfind(b"\n") + 1
            if cut == 0 and len(block) < 2 * BLOCK_BYTES:
                rest = block
                continue
            cut = cut or len(block)
            rest = block[cut:]
            yield block[:cut]
    if rest:
        yield rest


def _sample(path: Path) -> bytes:
    """Return the first non-ASCII lines. Nothing if NUL bytes follow: the file is not text."""
    lines: list[bytes] = []
    size = 0
    for block in _blocks(path):
        if b"\0" in block:
            return b""
        for line in block.splitlines(keepends=True):
            if not line.isascii():
                lines.append(line)
                size += len(line)
            if size >= code_pages.SAMPLE_BYTES:
                return b"".join(lines)[: code_pages.SAMPLE_BYTES]
    return b"".join(lines)


def _first_bad_line(path: Path) -> int | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, end = 1, b"\n"
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            end = line_end(block) if lines == 1 else end
            if block.isascii() and block and not pending:
                lines += block.count(end)
                continue
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as failure:
                return lines + block.count(end, 0, max(failure.start - pending, 0))
            if not block:
                return None
            lines += block.count(end)


def _is_windows_1252(path: Path) -> bool:
    """Return whether the non-ASCII bytes are used as in Western languages: as single letters within
    words, and as signs next to words.
    """
    runs = implausible = 0
    for block in _blocks(path):
        for before, run, after in _RUN.findall(block):
            runs += 1
            implausible += not _plausible(before, run, after)
        if b"\0" in block:
            return False
    return runs > 0 and implausible <= runs * MAX_IMPLAUSIBLE_SHARE


def _plausible(before: bytes, run: bytes, after: bytes) -> bool:
    if len(run) > 3:
        return False
    letters = sum(byte in _LETTER for byte in run)
    signs = sum(byte in _SIGN for byte in run)
    if letters + signs < len(run):
        return False
    within_word = before.isalpha() and after.isalpha()
    # Only apostrophes and middle dots are signs within words.
    if within_word and any(byte in _SIGN and byte not in b"\x92\xb7" for byte in run):
        return False
    if letters == len(run) == 1:
        # A capital in a lowercase word, or a letter outside of words, is from another code page.
        capital_inside = run in _UPPER and before.islower()
        return not capital_inside and (
            before.isalpha()
            or after.isalpha()
            or not before.strip()
            or run in "àÀéèêöüÖÜÉ".encode("cp1252")
        )
    return True


def to_utf8(source: Path, detected: DetectedEncoding, target: Path) -> None:
    """Write the text as UTF-8 without a byte order mark.

    Raises:
        FileFault: ENCODING_UNKNOWN: the bytes are invalid in the encoding.
    """
    decoder = codecs.getincrementaldecoder(detected.name)("strict")
    lines = 1
    with source.open("rb") as reading, target.open("wb") as writing:
        if detected.bom:
            reading.read(2)
        while True:
            block = reading.read(BLOCK_BYTES)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError:
                raise FileFault(
                    ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
                    f"The file is {detected.name}, but is truncated or invalid in or below line {lines}.",
                    line=lines,
                ) from None
            lines += text.count("\n")
            writing.write(text.encode("utf-8"))
            if not block:
                return
