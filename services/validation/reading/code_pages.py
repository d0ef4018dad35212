"""Detect undeclared encodings by the language of the text.

Most bytes are letters in many code pages. An encoding is only assumed if the text has words of one
script in it, and fits one language far better than in any other encoding. Otherwise the sender has
to specify it.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from charset_normalizer import CharsetMatch, from_bytes

SAMPLE_BYTES = 128 * 1024
MIN_LETTERS = 60
"""Non-ASCII letters that are required to detect a language."""
MIN_COHERENCE = 0.35
"""Least coherence (charset_normalizer): how well letter frequencies fit a language, 0 to 1."""
MIN_LEAD = 2
"""Least ratio of the coherence to that in any other encoding."""
EXCERPT_CHARS = 30

_CASED = {"CYRILLIC", "GREEK"}
_UNCASED = {"ARABIC", "HEBREW"}
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Guess:
    """An encoding that the text may have."""

    name: str
    sure: bool
    excerpt: str
    """The first non-ASCII words, decoded with it."""


def guess(lines: bytes) -> Guess | None:
    """Return the most likely encoding of the lines, or None if there is no evidence."""
    found = list(from_bytes(lines)) if lines else []
    if not found:
        return None
    words = {match.encoding: own for match in found if (own := _words_of_script(str(match)))}
    readable = [match for match in found if match.encoding in words]
    if not readable:
        return Guess(found[0].encoding, sure=False, excerpt=_excerpt(str(found[0])))
    best = max(readable, key=lambda match: (match.coherence, words[match.encoding].letters))
    script, letters = words[best.encoding]

    def is_worse(other: CharsetMatch) -> bool:
        # In another code page of the same script some letters are signs.
        other_script, other_letters = words[other.encoding]
        fewer = other_script == script and other_letters < letters
        return fewer or best.coherence >= MIN_LEAD * other.coherence or str(other) == str(best)

    sure = (
        letters >= MIN_LETTERS
        and best.coherence >= MIN_COHERENCE
        and all(is_worse(other) for other in readable if other is not best)
    )
    return Guess(best.encoding, sure, _excerpt(str(best)))


class _Words(NamedTuple):
    """The non-ASCII words of a text."""

    script: str
    letters: int


def _words_of_script(text: str) -> _Words | None:
    """Return the script and the letters of all non-ASCII words; None if their scripts differ."""
    scripts: set[str] = set()
    letters = 0
    for word in _words(text):
        in_word = {unicodedata.name(letter, "").split(" ")[0] for letter in word}
        well_cased = word.islower() or word.isupper() or word.istitle() or not in_word <= _CASED
        if len(in_word) != 1 or not in_word <= _CASED | _UNCASED or not well_cased:
            return None
        scripts |= in_word
        letters += len(word)
    return _Words(scripts.pop(), letters) if len(scripts) == 1 else None


def _words(text: str) -> Iterator[str]:
    return (word for word in _WORD.findall(text) if not word.isascii())


def _excerpt(text: str) -> str:
    return " ".join(_words(text))[:EXCERPT_CHARS]
