"""Which encoding a text has: stated by who sent it, certain, assumed with a warning, or refused
with the likeliest one. Nothing is ever decoded with replacement characters.
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
UTF8_BOM = codecs.BOM_UTF8
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16le", codecs.BOM_UTF16_BE: "utf-16be"}

# Letters of Western languages in windows-1252. Not among them: those that other code pages use for
# more frequent letters of theirs.
_LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜàáâãäåæçèéêëìíîïñòóôõöøùúûüßŒœŠšŽžŸÿ"
_UPPER = "".join(c for c in _LETTERS if c.isupper()).encode("cp1252")
_LETTER = _LETTERS.encode("cp1252")
_SIGN = "€‚„…‘’“”•–—™\u00a0¡¢£¥§©ª«¬®°±²³´µ¶·¹º»¼½¾¿×÷".encode("cp1252")
_RUN = re.compile(rb"(?s)(.?)([\x80-\xff]+)(?=(.?))")

MAX_IMPLAUSIBLE_SHARE = 0.02
"""Share of the runs of non-ASCII bytes that may look wrong in windows-1252."""


@dataclass(frozen=True)
class Told:
    """The encoding of a text."""

    name: str
    bom: bool = False
    assumed: bool = False
    """Whether nothing in the file states it."""


def from_head(head: bytes, stated: str = "") -> Told:
    """Encoding of a text that begins with `head`: the `stated` one, or told from its marks; UTF-8
    where there is none, which every byte has still to prove.

    Raises:
        FileFault: OPTION_MISFIT: there is no such encoding.
    """
    if stated:
        return _stated(stated, head)
    for mark, name in _UTF16.items():
        if head.startswith(mark) and not head.startswith(codecs.BOM_UTF32_LE):
            return Told(name, bom=True)
    bom = head.startswith(UTF8_BOM)
    if not bom and (name := _utf16_without_mark(head)):
        return Told(name, assumed=True)
    return Told("utf-8", bom)


def other_than_utf8(path: Path, told: Told, stated: str) -> Told:
    """Encoding of a text that was told to be UTF-8, and is not.

    Raises:
        FileFault: ENCODING_UNKNOWN, naming the first line that is not UTF-8.
    """
    bad_line = _first_bad_line(path)
    if stated:
        raise FileFault(
            ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
            f"Line {bad_line} is not UTF-8.",
            line=bad_line,
        )
    if not told.bom and _is_windows_1252(path):
        return Told("windows-1252", assumed=True)
    guess = None if told.bom else code_pages.guess(_sample(path))
    if guess is not None and guess.sure:
        return Told(guess.name, assumed=True)
    likely = (
        f"; read as {guess.name} it holds {guess.shown!r}"
        if guess is not None and guess.shown
        else ""
    )
    raise FileFault(
        ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
        f"Line {bad_line} is not UTF-8, and the file is not text in another encoding that can be told with certainty.",
        line=bad_line,
        value=guess.name if likely and guess is not None else "",
        action=f"Save the file as UTF-8, or say which encoding it has{likely}.",
    )


def _stated(stated: str, head: bytes) -> Told:
    try:
        name = codecs.lookup(stated).name
        "".encode(name)
    except (LookupError, ValueError):
        message = f"There is no encoding of texts called {stated!r}."
        raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="encoding") from None
    name = {
        "utf-16-le": "utf-16le",
        "utf-16-be": "utf-16be",
        "cp1252": "windows-1252",
        "utf-8-sig": "utf-8",
    }.get(name, name)
    if name == "utf-16":
        name = "utf-16be" if head.startswith(codecs.BOM_UTF16_BE) else "utf-16le"
    marks = {"utf-8": UTF8_BOM, "utf-16le": codecs.BOM_UTF16_LE, "utf-16be": codecs.BOM_UTF16_BE}
    return Told(name, bom=name in marks and head.startswith(marks[name]))


def _utf16_without_mark(head: bytes) -> str:
    """UTF-16 of mostly Western text has a zero in every other byte, and no pair of them."""
    pairs = len(head) // 2
    if pairs < 2:
        return ""
    first, second = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if second > pairs * ZERO_SHARE and not first:
        return "utf-16le"
    return "utf-16be" if first > pairs * ZERO_SHARE and not second else ""


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end at a line end where there is one."""
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
    """The first lines beyond ASCII; nothing of a file with zero bytes, which is no text."""
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
    """Whether the non-ASCII bytes stand as Western languages use them: single letters within words,
    signs beside words.
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
    # Of all signs only the apostrophe and the middle dot stand within words.
    if within_word and any(byte in _SIGN and byte not in b"\x92\xb7" for byte in run):
        return False
    if letters == len(run) == 1:
        # A capital inside a small word, or a letter that touches no word, is another code page's.
        capital_inside = run in _UPPER and before.islower()
        return not capital_inside and (
            before.isalpha()
            or after.isalpha()
            or not before.strip()
            or run in "àÀéèêöüÖÜÉ".encode("cp1252")
        )
    return True


def to_utf8(source: Path, told: Told, target: Path) -> None:
    """Writes the text as UTF-8 without a byte order mark.

    Raises:
        FileFault: ENCODING_UNKNOWN: the bytes break the encoding.
    """
    decoder = codecs.getincrementaldecoder(told.name)("strict")
    lines = 1
    with source.open("rb") as reading, target.open("wb") as writing:
        if told.bom:
            reading.read(2)
        while True:
            block = reading.read(BLOCK_BYTES)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError:
                message = f"The file is {told.name}, but its bytes break off or cannot be decoded on or after line {lines}."
                raise FileFault(
                    ErrorReason.ERROR_REASON_ENCODING_UNKNOWN, message, line=lines
                ) from None
            lines += text.count("\n")
            writing.write(text.encode("utf-8"))
            if not block:
                return
