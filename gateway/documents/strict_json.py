"""Parses JSON from clients. Accepts only values that every service can store."""

import math
import re
from typing import Any

from pydantic_core import from_json

_BOM = b"\xef\xbb\xbf"

_SUSPECT = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}|\\u0000")
"""Matches wherever a value might be one that `_check` rejects. Most texts have no match and skip
the check."""


def loads(text: str | bytes | bytearray) -> Any:
    """Parse a JSON text in UTF-8 with at most 200 levels. Numbers must be finite, integers must
    fit into 64 bits, and strings must not contain NUL or lone surrogates.

    Raises:
        ValueError: with the problem as the end of a sentence.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    value = from_json(data.removeprefix(_BOM), allow_inf_nan=False)
    if _SUSPECT.search(data):
        _check(value)
    return value


def _check(value: object) -> None:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as found:
                if "\0" in found:
                    raise ValueError("a string contains a NUL character")
            case float() as found:
                if not math.isfinite(found):
                    raise ValueError("a number is too large")
            case int() as found:
                if not -(2**63) <= found < 2**63:
                    raise ValueError("an integer has more than 64 bits")
            case list() as found:
                waiting += found
            case dict() as found:
                waiting += found
                waiting += found.values()
