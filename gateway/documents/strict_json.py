"""JSON from outside: only what every part behind us can hold."""

import math
import re
from typing import Any

from pydantic_core import from_json

_BOM = b"\xef\xbb\xbf"

_SUSPECT = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}|\\u0000")
"""Stands wherever a value could be one that is refused below; most texts have no such place and
need no second look."""


def loads(text: str | bytes | bytearray) -> Any:
    """The value of a JSON text in UTF-8, nested at most 200 deep. Its numbers are finite and its
    whole numbers have at most 64 bits; its texts hold no lone surrogate and no NUL.

    Raises:
        ValueError: what is wrong, as the end of a sentence.
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
                    raise ValueError("a text holds a NUL character")
            case float() as found:
                if not math.isfinite(found):
                    raise ValueError("a number is too large")
            case int() as found:
                if not -(2**63) <= found < 2**63:
                    raise ValueError("a whole number has more than 64 bits")
            case list() as found:
                waiting += found
            case dict() as found:
                waiting += found
                waiting += found.values()
