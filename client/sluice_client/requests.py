"""Requests built from the caller's values."""

from typing import Any, TypeVar

from google.protobuf.message import Message

from sluice_client.errors import SluiceClientError

M = TypeVar("M", bound=Message)


def build(kind: type[M], **fields: Any) -> M:
    """Return a message with these fields.

    Raises:
        SluiceClientError: REQUEST_INVALID for a value that no message can hold: text that is not
            valid Unicode, such as command line bytes in another encoding, or a number outside the
            field's range.
    """
    try:
        return kind(**fields)
    except (ValueError, TypeError) as failure:
        raise SluiceClientError(
            "REQUEST_INVALID",
            f"Invalid value: {failure}.",
            action="Correct the value.",
            actor="you",
        ) from failure


def sendable(name: str) -> str:
    """Return the file name with U+FFFD for bytes that the system's encoding cannot decode."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in name)
