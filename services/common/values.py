"""What no request may hold, whatever the rules of its fields say.

The wire format allows more than databases, clocks and JSON do: NUL in a text, numbers that are not
finite, moments outside of the years 1 to 9999, enum values that this build does not know.
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
"""Messages that repeat what stands in a file, which may be anything; who stores them cleans
them."""

NOT_FINITE = frozenset({"sluice.druid.v1.ExpectedSum"})
"""Sums of a file's column may be infinite, or NaN; Druid adds up the same."""

_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
_NANOS = 1_000_000_000

_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)

Check = Callable[[Any], str]
"""What is wrong with a value; empty where nothing is."""


def check_values(request: Message) -> None:
    """Looks at every field that is set, also in the messages within.

    Raises:
        SluiceError: REQUEST_INVALID, naming the first field with such a value.
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
    """The fields of a message that are looked at, each with its check; None: the messages within
    are."""
    found: list[tuple[FieldDescriptor, Check | None]] = []
    for field in kind.fields:
        if field.message_type is not None:
            if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
                found.append((field, _moment))
            elif _checks(field.message_type):
                found.append((field, None))
        elif field.enum_type is not None:
            found.append((field, _known(field.enum_type)))
        elif field.type == FieldDescriptor.TYPE_STRING and kind.full_name not in FROM_FILES:
            found.append((field, _text))
        elif field.cpp_type in _FLOATS and kind.full_name not in FROM_FILES | NOT_FINITE:
            found.append((field, _number))
    return tuple(found)


def _text(value: str) -> str:
    return "holds a NUL character" if "\0" in value else ""


def _number(value: float) -> str:
    return "" if math.isfinite(value) else "is not a finite number"


def _moment(value: Timestamp) -> str:
    known = _FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _NANOS
    return "" if known else "is outside of the years 1 to 9999"


def _known(kind: EnumDescriptor) -> Check:
    numbers = kind.values_by_number
    return lambda value: "" if value in numbers else f"has no known value of {kind.name}"


def _shown(value: object) -> str:
    if isinstance(value, Timestamp):
        return f"{value.seconds}.{value.nanos:09}"
    return str(value)
