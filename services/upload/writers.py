"""Who writes which upload in this process: one stream each, and a newer one takes the place of the older."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
        self._waited_s += waited_s
        self._got += len(step.data) if isinstance(step, Chunk) else 0
        if self._waited_s < PACE_WINDOW_S:
            return
        if self._got < self._least_bytes_per_s * self._waited_s:
            self.leaving = True
            message = f"Only {self._got:,} bytes came in {self._waited_s:.0f} s; the least is {self._least_bytes_per_s:,} a second."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message)
        self._waited_s, self._got = 0.0, 0


class Writers:
    """At most `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._writing: dict[str, Writer] = {}

    def check_room(self, more: int = 1) -> None:
        """Raises TOO_MANY_UPLOADS where there is no room for so many streams more."""
        if len(self._writing) + more > self._most:
            raise errors.error(
                ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS,
                f"This server already receives {len(self._writing)} files, as many as it takes at once.",
                metadata={"retry_after_s": str(RETRY_AFTER_S)},
            )

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


async def _left(writer: Writer) -> None:
    try:
        async with asyncio.timeout(TAKEOVER_S):
            await writer.ended.wait()
    except TimeoutError:
        message = "An older connection is still busy with this upload."
        raise errors.error(ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": "PENDING"}) from None
