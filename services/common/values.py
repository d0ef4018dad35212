"""Values that no request may contain, whatever the rules of its fields allow.

Protobuf allows values that PostgreSQL, datetime and JSON do not: NUL in text, infinite numbers and
NaN, times outside the years 1 to 9999, and enum values that this release does not know.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

FROM_FILES = frozenset({"sluice.common.v1.Problem", "sluice.validation.v1.KnownColumn"})
"""Messages with content of files, which may be anything. It is cleaned when it is stored."""

NOT_FINITE = frozenset({"sluice.druid.v1.ExpectedSum"})
"""The sum of a column may be infinite or NaN, in the file as in Druid."""

_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
_NANOS = 1_000_000_000

_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)

Check = Callable[[Any], str]
"""Describes what is wrong with a value; empty if it is valid."""


def check_values(request: Message) -> None:
    """Check all fields that are set, including those of nested messages.

    Raises:
        SluiceError: REQUEST_INVALID with the first invalid field.
    """
    for path, value, fault in _faults(request, ""):
        raise error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID, f"{path} {fault}.", column=path, value=value
        )


def _faults(message: Message, path: str) -> Iterator[tuple[str, object, str]]:
    for field, check in _checks(message.DESCRIPTOR):
        name = field.name
        if field.is_repeated:
            values = getattr(message, name)
        elif field.has_presence and not message.HasField(name):
            continue
        else:
            values = (getattr(message, name),)
        for value in values:
            if check is None:
                yield from _faults(value, f"{path}{name}.")
            elif fault := check(value):
                yield f"{path}{name}", _shown(value), fault


@cache
def _checks(kind: Descriptor) -> tuple[tuple[FieldDescriptor, Check | None], ...]:
    """Return the fields of a message to check, with their checks; None for nested messages."""
    found: list[tuple[FieldDescriptor, Check | None]] = []
    for field in kind.fields:
        if field.message_type is not None:
            if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
                found.append((field, _time))
            elif _checks(field.message_type):
                found.append((field, None))
        elif field.enum_type is not None:
            found.append((field, _enum(field.enum_type)))
        elif field.type == FieldDescriptor.TYPE_STRING and kind.full_name not in FROM_FILES:
            found.append((field, _text))
        elif field.cpp_type in _FLOATS and kind.full_name not in FROM_FILES | NOT_FINITE:
            found.append((field, _number))
    return tuple(found)


def _text(value: str) -> str:
    return "holds a NUL character" if "\0" in value else ""


def _number(value: float) -> str:
    return "" if math.isfinite(value) else "is not a finite number"


def _time(value: Timestamp) -> str:
    known = _FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _NANOS
    return "" if known else "is outside of the years 1 to 9999"


def _enum(kind: EnumDescriptor) -> Check:
    numbers = kind.values_by_number
    return lambda value: "" if value in numbers else f"has no known value of {kind.name}"


def _shown(value: object) -> str:
    if isinstance(value, Timestamp):
        return f"{value.seconds}.{value.nanos:09}"
    return str(value)
