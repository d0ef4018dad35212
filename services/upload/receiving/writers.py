"""The writers of this process: each upload has one stream that writes.

A newer stream takes over when its first bytes arrive. A stream that only asks for the offset, or
breaks before its first byte, does not interrupt the writer.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.common import errors
from services.common.errors import SluiceError
from services.upload.receiving.admission import Admission, Slot
from services.upload.receiving.steps import Chunk, Step
from sluice.common.v1.errors_pb2 import ErrorReason

TAKEOVER_S = 60.0
"""Seconds that a new writer waits until its predecessor has stored what it received."""

PACE_WINDOW_S = 20.0
"""Seconds of waiting for bytes after which the transfer rate is checked."""


class Writer:
    """One stream. `interrupt` ends its wait for a message and loses none that it has received."""

    def __init__(
        self, steps: AsyncIterator[Step], idle_s: float, total_s: float, min_bytes_per_s: int = 0
    ) -> None:
        self.id = str(uuid.uuid4())
        self.ended = asyncio.Event()
        self.leaving = False
        """Whether the stream has broken or was interrupted."""
        self._steps = steps
        self._idle_s = idle_s
        self._total_s = total_s
        self._end_at = asyncio.get_running_loop().time() + total_s
        self._min_bytes_per_s = min_bytes_per_s
        self._waited_s = 0.0
        self._received = 0
        self.slot: Slot | None = None
        """The slot that counts its bytes while it writes."""
        self.waited = False
        """Whether another stream was writing when this one entered. It may have stored more."""
        self.ahead: Step | None = None
        """The next message, if it was read ahead."""
        self._interruption: SluiceError | None = None
        self._reading: asyncio.Timeout | None = None

    def interrupt(self, reason: SluiceError) -> None:
        """Make the current or following `next` raise `reason`. Only the first reason counts."""
        self._interruption = self._interruption or reason
        self.leaving = True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def next(self) -> Step | None:
        """Return the next message; None at the end of the stream.

        Raises:
            SluiceError: UPLOAD_STALLED, or the reason passed to `interrupt`.
        """
        if self._interruption:
            raise self._interruption
        if self.ahead is not None:
            step, self.ahead = self.ahead, None
            return step
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
                message = f"No data arrived for {self._idle_s:g} s."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message) from None
        finally:
            self._reading = None

    def _check_pace(self, waited_s: float, step: Step) -> None:
        """Raise UPLOAD_STALLED if the sender is too slow. Only the time waiting for it counts."""
        size = len(step.data) if isinstance(step, Chunk) else 0
        if self.slot is not None:
            self.slot.received += size
        self._waited_s += waited_s
        self._received += size
        if self._waited_s < PACE_WINDOW_S:
            return
        if self._received < self._min_bytes_per_s * self._waited_s:
            self.leaving = True
            message = (
                f"Only {self._received:,} bytes arrived in {self._waited_s:.0f} s; the minimum is "
                f"{self._min_bytes_per_s:,} bytes per second."
            )
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message)
        self._waited_s, self._received = 0.0, 0


@dataclass
class _Streams:
    """The streams of one upload: `writing` has the slot, `waiting` has not received a byte yet, and
    `claiming` has received bytes and waits for `writing` to leave.
    """

    slot: Slot
    writing: Writer
    waiting: Writer | None = None
    claiming: Writer | None = None


class Writers:
    """The streams of all uploads of this process. All streams of an upload share one slot."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._uploads: dict[str, _Streams] = {}

    def receives(self, upload_id: str) -> bool:
        """Whether the upload has a stream."""
        return upload_id in self._uploads

    def writes(self, upload_id: str, writer: Writer) -> bool:
        """Whether this stream is the writer of the upload."""
        streams = self._uploads.get(upload_id)
        return streams is not None and streams.writing is writer

    async def settled(self, upload_id: str) -> None:
        """Wait until a writer that is leaving has stored its bytes; do not wait for others."""
        streams = self._uploads.get(upload_id)
        if streams is not None and streams.writing.leaving:
            await _wait_until_left(streams.writing)

    def enter(self, upload_id: str, writer: Writer, client: str, announced: int) -> None:
        """Register the stream, which must `leave`. An active writer continues until `take_over`.

        Raises:
            SluiceError: TOO_MANY_UPLOADS.
        """
        streams = self._uploads.get(upload_id)
        if streams is None:
            writer.slot = self._admission.take(client, announced)
            self._uploads[upload_id] = _Streams(writer.slot, writer)
            return
        writer.waited = True
        if streams.waiting is not None:
            streams.waiting.interrupt(_writer_replaced())
        streams.waiting = writer

    async def take_over(self, upload_id: str, writer: Writer) -> None:
        """Make the stream the writer. Wait until its predecessor has left.

        Raises:
            SluiceError: WRITER_REPLACED if a newer stream takes over in the meantime,
            STATE_CONFLICT if the predecessor does not leave.
        """
        streams = self._uploads.get(upload_id)
        if streams is None:
            raise _writer_replaced()
        if streams.writing is not writer:
            if streams.waiting is writer:
                streams.waiting = None
            if streams.claiming is not None:
                streams.claiming.interrupt(_writer_replaced())
            streams.claiming = writer
            predecessor = streams.writing
            predecessor.interrupt(_writer_replaced())
            await _wait_until_left(predecessor)
            if streams.writing is not writer:
                raise _writer_replaced()

    def leave(self, upload_id: str, writer: Writer) -> None:
        """Unregister a stream that has stored its bytes. A successor gets its slot. Idempotent."""
        writer.ended.set()
        streams = self._uploads.get(upload_id)
        if streams is None:
            return
        if streams.waiting is writer:
            streams.waiting = None
        elif streams.claiming is writer:
            streams.claiming = None
        elif streams.writing is writer:
            successor = streams.claiming or streams.waiting
            if successor is None:
                del self._uploads[upload_id]
                self._admission.give_back(streams.slot)
                return
            streams.waiting = None if successor is streams.waiting else streams.waiting
            streams.claiming = None
            streams.slot.received = 0
            successor.slot, streams.writing = streams.slot, successor


def _writer_replaced() -> SluiceError:
    message = "A newer connection is sending this file."
    return errors.error(ErrorReason.ERROR_REASON_WRITER_REPLACED, message)


async def _wait_until_left(writer: Writer) -> None:
    try:
        async with asyncio.timeout(TAKEOVER_S):
            await writer.ended.wait()
    except TimeoutError:
        message = "An older connection is still busy with this upload."
        raise errors.error(
            ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": "PENDING"}
        ) from None
