"""The headers of the tus protocol 1.0."""

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
"""Stands in every answer except that to OPTIONS."""

_ALGORITHMS: Final = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": hashlib.md5,
}

_DIGITS = 18
"""No count of bytes is longer."""

_FAMILY = "upload-"

CREATION: Final = frozenset({"upload-length", "upload-metadata", "upload-checksum"})
"""Headers of a creation that are implemented, of those that begin with Upload-."""

APPENDING: Final = frozenset({"upload-offset", "upload-checksum"})
"""The same of a PATCH."""

_ACTIONS: Final = {
    "upload-concat": "Send the file as one upload: in tus-js-client set parallelUploads to 1, in other clients send no Upload-Concat.",
    "upload-defer-length": "Send Upload-Length with the size of the file; in tus-js-client set uploadLengthDeferred to false.",
}
_ACTION = "Send the request without this header; OPTIONS lists the extensions that are supported."


def capabilities(max_bytes: int) -> dict[str, str]:
    """The headers of the answer to OPTIONS."""
    return {
        **RESUMABLE,
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
    }


def check_known(headers: Headers, known: frozenset[str]) -> None:
    """Raises REQUEST_INVALID for a header that begins with Upload- and is none of `known`, or that
    comes twice: each of them says what the bytes mean, so leaving one out of account could make
    another file of them."""
    for name in headers:
        if not name.startswith(_FAMILY):
            continue
        shown = "-".join(word.capitalize() for word in name.split("-"))
        if name not in known:
            raise error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID,
                f"The header {shown[:100]} is not supported here.",
                column=shown[:100],
                value=headers[name],
                action=_ACTIONS.get(name, _ACTION),
            )
        if len(headers.getlist(name)) > 1:
            values = ", ".join(headers.getlist(name))
            raise invalid(shown, f"The header {shown} comes more than once.", values)


def size(headers: Mapping[str, str], name: str) -> int:
    """A header that must be there and be a count of bytes.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    text = headers.get(name.lower(), "")
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise invalid(name, f"{name} must be a number of bytes.", text)
    return int(text)


def metadata(header: str) -> dict[str, str]:
    """The pairs of Upload-Metadata, decoded.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not key or not key.isascii() or key in found:
            raise invalid(
                "Upload-Metadata",
                "Upload-Metadata must be pairs of a key, once each, and a value in Base64.",
                pair,
            )
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:
            raise invalid(
                "Upload-Metadata",
                f"The value of {key} in Upload-Metadata is not UTF-8 text in Base64.",
                key,
            ) from None
    return found


@dataclass(frozen=True)
class Checksum:
    """What Upload-Checksum says of the body."""

    algorithm: str
    digest: bytes

    @classmethod
    def of(cls, header: str) -> "Checksum":
        """Parses the header.

        Raises:
            SluiceError: REQUEST_INVALID, also for an algorithm that is not known here.
        """
        algorithm, _, text = header.strip().partition(" ")
        if algorithm not in _ALGORITHMS:
            raise invalid(
                "Upload-Checksum",
                f"The checksum {algorithm[:20]} is not known; {', '.join(_ALGORITHMS)} are.",
                header,
            )
        try:
            return cls(algorithm, base64.b64decode(text.strip(), validate=True))
        except ValueError:
            raise invalid(
                "Upload-Checksum",
                "Upload-Checksum must be an algorithm and a digest in Base64.",
                header,
            ) from None

    def check(self, body: bytes) -> None:
        """Raises CHECKSUM_MISMATCH unless the body has the digest."""
        if _ALGORITHMS[self.algorithm](body).digest() != self.digest:
            text = f"The {len(body):,} bytes of the request do not have the {self.algorithm} that came with them; none was kept."
            raise error(
                ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, text, action="Send these bytes again."
            )


def http_date(moment: Timestamp) -> str:
    """As Upload-Expires has it."""
    return format_datetime(moment.ToDatetime(UTC), usegmt=True)


def invalid(name: str, text: str, value: str = "") -> SluiceError:
    """REQUEST_INVALID, naming the header."""
    return error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name, value=value)
