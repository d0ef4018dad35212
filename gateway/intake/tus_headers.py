"""Headers of the tus protocol 1.0."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.datastructures import Headers

from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "expiration", "checksum", "termination")
BODY_TYPE = "application/offset+octet-stream"

RESUMABLE = {"Tus-Resumable": VERSION}
"""Header of every response."""

_ALGORITHMS: Final = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": hashlib.md5,
}

_MAX_DIGITS = 18
"""Maximum digits of a number of bytes."""

_PREFIX = "upload-"

CREATION: Final = frozenset({"upload-length", "upload-metadata", "upload-checksum"})
"""Supported Upload- headers of a creation."""

APPENDING: Final = frozenset({"upload-offset", "upload-checksum"})
"""Supported Upload- headers of a PATCH."""

_ACTIONS: Final = {
    "upload-concat": (
        "Send the file as one upload: in tus-js-client set parallelUploads to 1, "
        "in other clients send no Upload-Concat."
    ),
    "upload-defer-length": (
        "Send Upload-Length with the size of the file; "
        "in tus-js-client set uploadLengthDeferred to false."
    ),
}
_ACTION = "Send the request without this header. OPTIONS lists the supported extensions."


def capabilities(max_bytes: int) -> dict[str, str]:
    """The headers of the response to OPTIONS."""
    return {
        **RESUMABLE,
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
    }


def check_known(headers: Headers, known: frozenset[str]) -> None:
    """Raises REQUEST_INVALID for an Upload- header that is repeated or not in `known`: these
    headers define what the bytes mean, so ignoring one could produce a different file."""
    for name in headers:
        if not name.startswith(_PREFIX):
            continue
        shown = "-".join(word.capitalize() for word in name.split("-"))
        if name not in known:
            raise error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID,
                f"The header {shown[:100]} is not supported for this request.",
                column=shown[:100],
                value=headers[name],
                action=_ACTIONS.get(name, _ACTION),
            )
        if len(headers.getlist(name)) > 1:
            values = ", ".join(headers.getlist(name))
            raise invalid(shown, f"The header {shown} is repeated.", values)


def size(headers: Mapping[str, str], name: str) -> int:
    """The value of a required header that is a number of bytes.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    text = headers.get(name.lower(), "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise invalid(name, f"{name} must be a number of bytes.", text)
    return int(text)


def metadata(header: str) -> dict[str, str]:
    """Decode the pairs of Upload-Metadata.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not key or not key.isascii() or key in found:
            raise invalid(
                "Upload-Metadata",
                "Upload-Metadata must be pairs of a unique key and a Base64 value.",
                pair,
            )
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:
            raise invalid(
                "Upload-Metadata",
                f"The value of {key} in Upload-Metadata is not Base64 of UTF-8 text.",
                key,
            ) from None
    return found


@dataclass(frozen=True)
class Checksum:
    """The expected checksum of a body."""

    algorithm: str
    digest: bytes

    @classmethod
    def of(cls, header: str) -> "Checksum":
        """Parse Upload-Checksum.

        Raises:
            SluiceError: REQUEST_INVALID, also for an unsupported algorithm.
        """
        algorithm, _, text = header.strip().partition(" ")
        if algorithm not in _ALGORITHMS:
            raise invalid(
                "Upload-Checksum",
                f"Unsupported checksum {algorithm[:20]}. Supported: {', '.join(_ALGORITHMS)}.",
                header,
            )
        try:
            return cls(algorithm, base64.b64decode(text.strip(), validate=True))
        except ValueError:
            raise invalid(
                "Upload-Checksum",
                "Upload-Checksum must be an algorithm and a Base64 digest.",
                header,
            ) from None

    def check(self, body: bytes) -> None:
        """Raises CHECKSUM_MISMATCH if the body has another digest."""
        if _ALGORITHMS[self.algorithm](body).digest() != self.digest:
            text = (
                f"The {self.algorithm} of the {len(body):,} bytes does not match Upload-Checksum; "
                "none were kept."
            )
            raise error(
                ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, text, action="Send these bytes again."
            )


def http_date(moment: Timestamp) -> str:
    """Format a time for Upload-Expires."""
    return format_datetime(moment.ToDatetime(UTC), usegmt=True)


def invalid(name: str, text: str, value: str = "") -> SluiceError:
    """REQUEST_INVALID for the header `name`."""
    return error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name, value=value)
