"""Encodings that nothing states, told by the language of the text. Most bytes are letters in many
code pages: only what reads as words of one script, and as one language far better than in every
other encoding, is taken; else it is for the sender to say.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from charset_normalizer import CharsetMatch, from_bytes

SAMPLE_BYTES = 128 * 1024
ENOUGH_LETTERS = 60
"""Letters beyond ASCII from which a language is told."""
COHERENT = 0.35
"""Share of a language's most frequent letters that have to be where they are expected, 0 to 1."""
FAR = 2
"""How many times better than in any other script."""
SHOWN_CHARS = 30

_CASED = {"CYRILLIC", "GREEK"}
_UNCASED = {"ARABIC", "HEBREW"}
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Guess:
    """An encoding that the text may have."""

    name: str
    sure: bool
    shown: str
    """Some of the text, read in it."""


def guess(lines: bytes) -> Guess | None:
    """Which encoding these lines have most likely; None where there is nothing to go by."""
    found = list(from_bytes(lines)) if lines else []
    if not found:
        return None
    words = {match.encoding: told for match in found if (told := _script(str(match)))}
    able = [match for match in found if match.encoding in words]
    if not able:
        return Guess(found[0].encoding, sure=False, shown=_shown(str(found[0])))
    best = max(able, key=lambda match: (match.coherence, words[match.encoding].letters))
    told = words[best.encoding]

    def is_worse(other: CharsetMatch) -> bool:
        # In another code page of the same script some letters are signs.
        same = words[other.encoding]
        fewer = same.script == told.script and same.letters < told.letters
        return fewer or best.coherence >= FAR * other.coherence or str(other) == str(best)

    sure = (
        told.letters >= ENOUGH_LETTERS
        and best.coherence >= COHERENT
        and all(is_worse(other) for other in able if other is not best)
    )
    return Guess(best.encoding, sure, _shown(str(best)))


class _Words(NamedTuple):
    """Words beyond ASCII."""

    script: str
    letters: int


def _script(text: str) -> _Words | None:
    """The one script of all words beyond ASCII; None where they are none."""
    scripts: set[str] = set()
    letters = 0
    for word in _words(text):
        in_word = {unicodedata.name(letter, "").split(" ")[0] for letter in word}
        written_so = word.islower() or word.isupper() or word.istitle() or not in_word <= _CASED
        if len(in_word) != 1 or not in_word <= _CASED | _UNCASED or not written_so:
            return None
        scripts |= in_word
        letters += len(word)
    return _Words(scripts.pop(), letters) if len(scripts) == 1 else None


def _words(text: str) -> Iterator[str]:
    return (word for word in _WORD.findall(text) if not word.isascii())


def _shown(text: str) -> str:
    return " ".join(_words(text))[:SHOWN_CHARS]
