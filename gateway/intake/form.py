"""A streaming parser of multipart/form-data: fields first, then one file. It spools nothing."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason

_EXTENDED = re.compile(r";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)

MAX_PARTS = 32
"""Maximum parts of a form. A valid one has at most seven."""

MAX_PREAMBLE_BYTES = 64 * 1024
"""Maximum bytes before the first boundary."""


@dataclass(frozen=True)
class Limits:
    """Limits of a form: bytes of the file, of another field and of a part's header line, and
    seconds without a byte.
    """

    file_bytes: int
    field_bytes: int
    part_header_bytes: int
    idle_s: float

    @property
    def body_bytes(self) -> int:
        """The longest body that can contain a file within its limit."""
        return self.file_bytes + MAX_PARTS * (self.field_bytes + self.part_header_bytes)


class Body:
    """The body of a request, read as it arrives."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._ended = False
        self.received = 0

    async def read(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            ClientDisconnect: the client disconnected.
            SluiceError: UPLOAD_STALLED, FILE_TOO_LARGE.
        """
        while not self._ended:
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    message = await self._receive()
            except TimeoutError:
                text = f"No bytes arrived for {self._limits.idle_s:g} seconds."
                raise error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, text) from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._ended = not message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            self.received += len(chunk)
            if self.received > self._limits.body_bytes:
                raise too_large(self._limits.file_bytes)
            if chunk:
                return chunk
        return b""


class _End:
    pass


END: Final = _End()

Event: TypeAlias = MultipartSegment | bytes | _End | None
"""Headers of a part, some of its bytes, the end of the part (None), or the end of the form."""


@dataclass
class Form:
    """The parts of a form, in order."""

    body: Body
    content_type: str
    limits: Limits
    _parser: PushMultipartParser = field(init=False)
    _events: Iterator[MultipartSegment | bytes | None] = field(
        init=False, default_factory=lambda: iter(())
    )
    _began: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        kind, options = parse_options_header(self.content_type)
        if kind != "multipart/form-data" or not options.get("boundary"):
            given = self.content_type[:100] or "missing"
            raise _malformed(
                f"The Content-Type is {given}, not multipart/form-data with a boundary."
            )
        try:
            self._parser = PushMultipartParser(
                options["boundary"],
                max_header_size=self.limits.part_header_bytes,
                max_segment_count=MAX_PARTS,
            )
        except MultipartError as failure:
            raise _malformed(f"The boundary of the form is invalid: {failure}.") from None

    async def next(self) -> Event:
        """The next event.

        Raises:
            ClientDisconnect: the client disconnected.
            SluiceError: MULTIPART_MALFORMED, UPLOAD_STALLED, FILE_TOO_LARGE.
        """
        while not self._parser.closed:
            try:
                event = next(self._events)
            except StopIteration:
                if not self._began and self.body.received > MAX_PREAMBLE_BYTES:
                    raise _malformed(
                        "The body does not start with the boundary from the Content-Type."
                    ) from None
                self._events = self._parser.parse(await self.body.read())
            except MultipartError as failure:
                raise _malformed(f"The form is malformed: {failure}.") from None
            else:
                self._began = True
                if isinstance(event, MultipartSegment) and event.filename is None:
                    event.filename = _extended_filename(event.header("Content-Disposition", ""))
                return event
        return END

    @asynccontextmanager
    async def before_file(self) -> AsyncIterator[None]:
        """Limits the time of everything before the file to `idle_s`, even if bytes keep arriving.

        Raises:
            SluiceError: UPLOAD_STALLED.
        """
        try:
            async with asyncio.timeout(self.limits.idle_s):
                yield
        except TimeoutError:
            text = f"The fields before the file took longer than {self.limits.idle_s:g} seconds."
            raise error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, text) from None

    async def field(self, part: MultipartSegment) -> str:
        """Read the text of the part whose headers came last.

        Raises:
            SluiceError: REQUEST_INVALID if it is too long or not UTF-8; see next.
        """
        value = bytearray()
        while isinstance(piece := await self.next(), bytes):
            value += piece
            if len(value) > self.limits.field_bytes:
                text = f"The field {part.name} is longer than {self.limits.field_bytes} bytes."
                raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=part.name)
        try:
            return value.decode()
        except UnicodeDecodeError:
            text = f"The field {part.name} is not UTF-8 text."
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=part.name) from None


@dataclass
class IncomingFile:
    """A file that is being received: its name is known, its bytes can be read once."""

    form: Form
    filename: str

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file. Ends only after the rest of the form was received and checked.

        Raises:
            ClientDisconnect: the client disconnected.
            SluiceError: FILE_EMPTY, FILE_TOO_LARGE, SECOND_FILE, FIELD_ORDER; see Form.next.
        """
        size = 0
        while isinstance(piece := await self.form.next(), bytes):
            size += len(piece)
            if size > self.form.limits.file_bytes:
                raise too_large(self.form.limits.file_bytes)
            yield piece
        if size == 0:
            raise error(ErrorReason.ERROR_REASON_FILE_EMPTY, f"{self.filename} is empty.")
        while not isinstance(later := await self.form.next(), _End):
            if not isinstance(later, MultipartSegment):
                continue
            if later.filename is not None:
                text = (
                    f"The request contains a second file, {later.filename or '(no name)'}; "
                    "nothing was kept."
                )
                raise error(ErrorReason.ERROR_REASON_SECOND_FILE, text, column=later.name)
            text = f"The field {later.name} came after the file; nothing was kept."
            raise error(
                ErrorReason.ERROR_REASON_FIELD_ORDER,
                text,
                column=later.name,
                action="Send every other field before the file.",
            )


def _extended_filename(disposition: str) -> str | None:
    """The name in `filename*=utf-8''...`, which some clients send instead of `filename` and which
    the parser ignores.
    """
    found = _EXTENDED.search(disposition)
    return unquote(found[2], encoding=found[1]) if found else None


def refuse_announced(request: Request, limits: Limits) -> None:
    """Raise FILE_TOO_LARGE if Content-Length exceeds the longest acceptable body."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limits.body_bytes:
        raise too_large(limits.file_bytes)


def too_large(limit_bytes: int) -> SluiceError:
    """FILE_TOO_LARGE with the limit."""
    text = f"The file is larger than the limit of {_readable(limit_bytes)}."
    return error(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE, text, metadata={"limit_bytes": str(limit_bytes)}
    )


def _readable(size: int) -> str:
    return f"{size / 1024 / 1024:.4g} MiB" if size >= 1024 * 1024 else f"{size} bytes"


def _malformed(text: str) -> SluiceError:
    return error(ErrorReason.ERROR_REASON_MULTIPART_MALFORMED, text)
