"""Who writes which upload in this process: one stream each. A newer one takes over once it has the
next bytes, so that a stream that only asks, or breaks before its first byte, does not end one that
sends."""

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
"""Longest that a new stream waits until the one before has put away what it has."""

PACE_WINDOW_S = 20.0
"""Seconds of waiting for bytes after which it is seen whether they come fast enough."""


class Writer:
    """One stream. `interrupt` ends its waiting for the next message; what it has taken by then is
    not lost.
    """

    def __init__(
        self, steps: AsyncIterator[Step], idle_s: float, total_s: float, least_bytes_per_s: int = 0
    ) -> None:
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
        self.slot: Slot | None = None
        """Where its bytes are counted, once it writes."""
        self.waited = False
        """Another stream sent the upload when this one came, and may have stored more since."""
        self.ahead: Step | None = None
        """The next message, where it has been looked at already."""
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
                message = f"Nothing arrived for {self._idle_s:g} s, and the upload was given up."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message) from None
        finally:
            self._reading = None

    def _check_pace(self, waited_s: float, step: Step) -> None:
        """Raises UPLOAD_STALLED for a sender that holds its place with next to no bytes. Only the
        time of waiting for it counts.
        """
        size = len(step.data) if isinstance(step, Chunk) else 0
        if self.slot is not None:
            self.slot.received += size
        self._waited_s += waited_s
        self._got += size
        if self._waited_s < PACE_WINDOW_S:
            return
        if self._got < self._least_bytes_per_s * self._waited_s:
            self.leaving = True
            message = f"Only {self._got:,} bytes came in {self._waited_s:.0f} s; the least is {self._least_bytes_per_s:,} a second."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message)
        self._waited_s, self._got = 0.0, 0


@dataclass
class _Streams:
    """Those of one upload. `writing` has the slot; `waiting` has brought no byte yet, `claiming`
    has and waits for `writing` to leave."""

    slot: Slot
    writing: Writer
    waiting: Writer | None = None
    claiming: Writer | None = None


class Writers:
    """The streams of every upload of this process. An upload has one slot, however many streams
    want to send it."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._uploads: dict[str, _Streams] = {}

    def receives(self, upload_id: str) -> bool:
        """Whether a stream of the upload is there."""
        return upload_id in self._uploads

    def writes(self, upload_id: str, writer: Writer) -> bool:
        """Whether it is this one that may send its bytes."""
        streams = self._uploads.get(upload_id)
        return streams is not None and streams.writing is writer

    async def settled(self, upload_id: str) -> None:
        """Returns once no stream of the upload is being put away; one that still takes bytes is not
        waited for.
        """
        streams = self._uploads.get(upload_id)
        if streams is not None and streams.writing.leaving:
            await _left(streams.writing)

    def enter(self, upload_id: str, writer: Writer, client: str, announced: int) -> None:
        """Lets the stream in. It has to `leave`. Where another one sends the upload already, that
        goes on until `take_over`.

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
            streams.waiting.interrupt(_replaced())
        streams.waiting = writer

    async def take_over(self, upload_id: str, writer: Writer) -> None:
        """Makes the stream the one that writes. Waits until the one before has left.

        Raises:
            SluiceError: WRITER_REPLACED where a newer one came meanwhile, STATE_CONFLICT when the
            one before does not leave.
        """
        streams = self._uploads.get(upload_id)
        if streams is None:
            raise _replaced()
        if streams.writing is not writer:
            if streams.waiting is writer:
                streams.waiting = None
            if streams.claiming is not None:
                streams.claiming.interrupt(_replaced())
            streams.claiming = writer
            before = streams.writing
            before.interrupt(_replaced())
            await _left(before)
            if streams.writing is not writer:
                raise _replaced()

    def leave(self, upload_id: str, writer: Writer) -> None:
        """The stream has ended, and what is to be stored of it is stored. Who waits has the slot
        from here on. Harmless when repeated."""
        writer.ended.set()
        streams = self._uploads.get(upload_id)
        if streams is None:
            return
        if streams.waiting is writer:
            streams.waiting = None
        elif streams.claiming is writer:
            streams.claiming = None
        elif streams.writing is writer:
            heir = streams.claiming or streams.waiting
            if heir is None:
                del self._uploads[upload_id]
                self._admission.give_back(streams.slot)
                return
            streams.waiting = None if heir is streams.waiting else streams.waiting
            streams.claiming = None
            streams.slot.received = 0
            heir.slot, streams.writing = streams.slot, heir


def _replaced() -> SluiceError:
    message = "A newer connection sends this file now."
    return errors.error(ErrorReason.ERROR_REASON_WRITER_REPLACED, message)


async def _left(writer: Writer) -> None:
    try:
        async with asyncio.timeout(TAKEOVER_S):
            await writer.ended.wait()
    except TimeoutError:
        message = "An older connection is still busy with this upload."
        raise errors.error(
            ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": "PENDING"}
        ) from None
