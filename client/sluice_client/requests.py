"""Requests of what a caller gave us."""

from typing import Any, TypeVar

from google.protobuf.message import Message

from sluice_client.errors import SluiceClientError

M = TypeVar("M", bound=Message)


def build(kind: type[M], **fields: Any) -> M:
    """The message with these fields.

    Raises:
        SluiceClientError: REQUEST_INVALID for what no message can hold: text that is no Unicode,
            such as bytes of a command line in another encoding, or a number beyond the field's
            bits.
    """
    try:
        return kind(**fields)
    except (ValueError, TypeError) as failure:
        raise SluiceClientError(
            "REQUEST_INVALID",
            f"A value cannot be sent: {failure}.",
            action="Correct the value, and call again.",
            actor="you",
        ) from failure


def sendable(name: str) -> str:
    """The name of a file as it can be sent: U+FFFD for bytes that are no text in the system's
    encoding."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in name)
