"""Who writes which upload in this process: one stream each, and a newer one takes the place of the older."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common import errors
from services.common.errors import SluiceError
from services.upload.steps import Chunk, Step
from sluice.common.v1.errors_pb2 import ErrorReason

TAKEOVER_S = 60.0
"""Longest that a new stream waits until the one before has put away what it has."""

RETRY_AFTER_S = 5
"""When a client that was refused for the number of uploads may try again."""


PACE_WINDOW_S = 20.0
"""Seconds of waiting for bytes after which it is seen whether they come fast enough."""


class Writer:
    """One stream. `interrupt` ends its waiting for the next message; what it has taken by then is not lost."""

    def __init__(self, steps: AsyncIterator[Step], idle_s: float, total_s: float, least_bytes_per_s: int = 0) -> None:
        self.id = str(uuid.uuid4())
        self.ended = asyncio.Event()
        self.leaving = False
        """The stream has broken, or was told to end."""
        self._steps = steps
        self._idle_s = idle_s
        self._total_s = total_s
        self._end_at = asyncio.get_running_loop().time() + total_s
        self._least_bytes_per_s = least_bytes_per_s
        self._waited_s = 0.0
        self._got = 0
        self.client = ""
        """Whose stream it is."""
        self.announced = 0
        """Bytes of the whole file, where they were announced."""
        self.received = 0
        """Bytes that came on this stream."""
        self._interruption: SluiceError | None = None
        self._reading: asyncio.Timeout | None = None

    def interrupt(self, reason: SluiceError) -> None:
        """Makes the next, or the present, `next` raise `reason`. The first reason counts."""
        self._interruption = self._interruption or reason
        self.leaving = True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def next(self) -> Step | None:
        """The next message; None where the stream ends without any.

        Raises:
            SluiceError: UPLOAD_STALLED, or the reason of the interruption.
        """
        if self._interruption:
            raise self._interruption
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + self._idle_s, self._end_at)) as self._reading:
                step = await anext(self._steps)
                self._check_pace(asyncio.get_running_loop().time() - now, step)
                return step
        except StopAsyncIteration:
            self.leaving = True
            return None
        except TimeoutError:
            self.leaving = True
            if self._interruption:
                raise self._interruption from None
            if now + self._idle_s > self._end_at:
                message = f"The connection did not send its file within {self._total_s:g} s."
            else:
                message = f"Nothing arrived for {self._idle_s:g} s, and the upload was given up."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message) from None
        finally:
            self._reading = None

    def _check_pace(self, waited_s: float, step: Step) -> None:
        """Raises UPLOAD_STALLED for a sender that holds its place with next to no bytes. Only the time of waiting for it counts."""
        size = len(step.data) if isinstance(step, Chunk) else 0
        self.received += size
        self._waited_s += waited_s
        self._got += size
        if self._waited_s < PACE_WINDOW_S:
            return
        if self._got < self._least_bytes_per_s * self._waited_s:
            self.leaving = True
            message = f"Only {self._got:,} bytes came in {self._waited_s:.0f} s; the least is {self._least_bytes_per_s:,} a second."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message)
        self._waited_s, self._got = 0.0, 0


@dataclass(frozen=True)
class Share:
    """How much may be received at once."""

    uploads: int
    bytes: int


class Writers:
    """At most `in_all` at once, and at most `of_client` of each client."""

    def __init__(self, in_all: Share, of_client: Share) -> None:
        self._in_all = in_all
        self._of_client = of_client
        self._writing: dict[str, Writer] = {}

    def check_room(self, client: str, size: int, besides: Writer | None = None) -> None:
        """Raises TOO_MANY_UPLOADS where there is no room for a stream of the client with a file of so many bytes, 0 where that is not
        known, beside the others; `besides` is the stream itself, where it has its place already."""
        others = [writer for writer in self._writing.values() if writer is not besides]
        _check(others, size, self._in_all, "This server")
        _check([writer for writer in others if writer.client == client], size, self._of_client, "From one client, this server")

    async def settled(self, upload_id: str) -> None:
        """Returns once no stream of the upload is being put away; one that still takes bytes is not waited for."""
        writer = self._writing.get(upload_id)
        if writer is not None and writer.leaving:
            await _left(writer)

    @asynccontextmanager
    async def place(self, upload_id: str, writer: Writer) -> AsyncIterator[None]:
        """The writer's place. Waits until the one before has left it.

        Raises:
            SluiceError: STATE_CONFLICT when the one before does not leave.
        """
        while (before := self._writing.get(upload_id)) is not None:
            before.interrupt(errors.error(ErrorReason.ERROR_REASON_WRITER_REPLACED, "A newer connection sends this file now."))
            await _left(before)
        self._writing[upload_id] = writer
        try:
            yield
        finally:
            del self._writing[upload_id]
            writer.ended.set()


def _check(writers: list[Writer], size: int, share: Share, who: str) -> None:
    on_the_way = sum(max(writer.announced, writer.received) for writer in writers)
    if len(writers) >= share.uploads:
        message = f"{who} takes {share.uploads} files at once, and {len(writers)} are on their way."
    elif writers and on_the_way + size > share.bytes:
        # One alone is taken, however large: the limit of a file's size is another one.
        message = f"{who} takes files of {share.bytes:,} bytes at once, and {on_the_way:,} are on their way."
    else:
        return
    raise errors.error(ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS, message, metadata={"retry_after_s": str(RETRY_AFTER_S)})


async def _left(writer: Writer) -> None:
    try:
        async with asyncio.timeout(TAKEOVER_S):
            await writer.ended.wait()
    except TimeoutError:
        message = "An older connection is still busy with this upload."
        raise errors.error(ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": "PENDING"}) from None
