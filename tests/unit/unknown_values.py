"""Messages of a newer release: every enum in them has a value that this one does not know."""

from typing import TypeVar

from google.protobuf.message import Message

UNKNOWN = 9999

Any = TypeVar("Any", bound=Message)


def filled(message: Any, depth: int = 4) -> Any:
    """The message with that value in every enum field, also of the messages in it."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.enum_type is not None and field.is_repeated:
            value.append(UNKNOWN)
        elif field.enum_type is not None:
            setattr(message, field.name, UNKNOWN)
        elif depth and field.message_type and _is_ours(field.message_type.full_name):
            inner = value.add() if field.is_repeated else value
            inner.SetInParent()
            filled(inner, depth - 1)
    return message


def _is_ours(name: str) -> bool:
    # Entries of maps are not filled: their keys would not be valid.
    return name.startswith("sluice.") and not name.endswith("Entry")
