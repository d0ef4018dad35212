"""Checks that the path and the query of a request are valid text."""

from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason


def check_address(scope: Scope) -> None:
    """Raises REQUEST_INVALID if the decoded path or query is not UTF-8 or contains NUL."""
    for name, key in (("path", "raw_path"), ("query", "query_string")):
        part: bytes = scope.get(key) or b""
        if part.isascii() and b"%" not in part:
            continue
        try:
            decoded = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            text = f"The {name} of the URL is not UTF-8 text."
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name) from None
        if "\0" in decoded:
            text = f"The {name} of the URL contains a NUL character."
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name)
