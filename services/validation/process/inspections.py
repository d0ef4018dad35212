"""Inspections: files that are read during their upload.

A complete inspection is kept for a while, for the ValidateObject that takes it over.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import ExitStack, aclosing
from typing import IO, Any

from services.common import errors, logs
from services.common.serving.cancelling import cancel
from services.validation.process.child import Job
from services.validation.process.children import (
    ChildLostError,
    Children,
    Growing,
    InspectionDroppedError,
    Step,
)
from services.validation.process.limits import Limits
from services.validation.process.spool import Spool, write_all
from services.validation.report import policy
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import (
    EarlyVerdict,
    InspectHeader,
    InspectRequest,
    InspectResponse,
    ValidateObjectRequest,
    Verdict,
)

LAST_BYTES_S = 5.0
"""Seconds to wait for the last bytes of a file that is complete in the object store."""


class Inspection:
    """One file: its bytes so far on the local disk, and the output of the child that reads them."""

    def __init__(self, header: InspectHeader, spool: Spool, arriving_bytes: int) -> None:
        """`arriving_bytes`: memory limit of the child until the file is complete."""
        self.request = ValidateObjectRequest(
            task_id=header.task_id,
            filename=header.filename,
            file_size=header.file_size,
            policy=header.policy if header.HasField("policy") else None,
            options=header.options if header.HasField("options") else None,
        )
        self._closing = ExitStack()
        self.folder = self._closing.enter_context(spool.job())
        self.source = self.folder / "source"
        self._file: IO[bytes] = self._closing.enter_context(self.source.open("wb", buffering=0))
        self._digest = hashlib.sha256()
        self._growing = Growing(arriving_bytes)
        self._steps: list[Step] = []
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: Exception | None = None
        self._over = False
        self.size = 0
        self.finished = False
        """Whether the file is complete."""
        self.settled = asyncio.Event()
        """Set once the file is complete, or never will be."""

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the bytes so far."""
        return self._digest.digest()

    def start(self, children: Children, job: Job) -> None:
        """Starts reading."""
        self._tasks.append(asyncio.create_task(self._read(children, job), name="inspection"))

    async def _read(self, children: Children, job: Job) -> None:
        try:
            async with aclosing(children.examine(job, self._growing)) as steps:
                async for step in steps:
                    await self._publish(step)
        except (ChildLostError, InspectionDroppedError, errors.SluiceError) as failure:
            self._failure = failure
        finally:
            self._over = True
            await self._publish(None)

    async def _publish(self, step: Step | None) -> None:
        async with self._changed:
            if step is not None:
                self._steps.append(step)
            self._changed.notify_all()

    async def add(self, data: bytes) -> None:
        """Appends data."""
        await asyncio.to_thread(self._write, data)
        self.size += len(data)
        self._growing.grow(self.size)

    def _write(self, data: bytes) -> None:
        write_all(self._file, data)
        self._digest.update(data)

    def finish(self, reading_slots: asyncio.Semaphore) -> None:
        """Marks the file as complete. The rest of the work takes a reading slot."""
        self.finished = True
        self.request.file_size = self.size
        self._tasks.append(
            asyncio.create_task(self._complete(reading_slots), name="inspection-end")
        )

    async def _complete(self, reading_slots: asyncio.Semaphore) -> None:
        async with reading_slots:
            self._growing.finish(self.request)
            await asyncio.wait([self._tasks[0]])

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Yields the child's output from the beginning.

        Raises:
            ChildLostError, InspectionDroppedError, SluiceError: see Children.examine.
        """
        done = 0
        while True:
            async with self._changed:
                while len(self._steps) == done and not self._over:
                    await self._changed.wait()
                fresh = self._steps[done:]
            for step in fresh:
                yield step
            done += len(fresh)
            if self._over and done == len(self._steps):
                if self._failure is not None:
                    raise self._failure
                return

    async def close(self) -> None:
        """Stops reading and deletes the bytes."""
        await cancel(*self._tasks)
        self._closing.close()


class Inspections:
    """All inspections that are being read or wait to be taken over."""

    def __init__(
        self,
        spool: Spool,
        children: Children,
        limits: Limits,
        reading_slots: asyncio.Semaphore,
        *,
        max_open: int,
        keep_s: float,
        memory_bytes: int,
        arriving_bytes: int,
        timeout_s: float,
    ) -> None:
        """`memory_bytes`: memory limit of a file; `arriving_bytes`: the limit during its upload."""
        self._arriving_bytes = arriving_bytes
        self._spool, self._children, self._limits = spool, children, limits
        self._reading_slots = reading_slots
        self._max_open, self._keep_s = max_open, keep_s
        self._memory_bytes, self._timeout_s = memory_bytes, timeout_s
        self._open: dict[str, Inspection] = {}
        self._arriving: set[Inspection] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def take(self, request: ValidateObjectRequest) -> Inspection | None:
        """Hands the complete inspection of a task over to the caller, who must close it.

        Waits up to LAST_BYTES_S for the last bytes: the object is already complete. Returns None
        without an inspection of the same file.
        """
        arriving = [
            inspection.settled.wait()
            for inspection in self._arriving
            if inspection.request.task_id == request.task_id
        ]
        try:
            async with asyncio.timeout(LAST_BYTES_S):
                await asyncio.gather(*arriving)
        except TimeoutError:
            logs.get().info("inspection.late")
        found = self._open.pop(request.task_id, None)
        if found is None:
            return None
        same = (
            found.size == request.file_size
            and request.sha256 in (b"", found.sha256)
            and found.request.filename == request.filename
        )
        if same:
            return found
        self._close(found)
        return None

    async def close(self) -> None:
        """Closes all inspections."""
        for inspection in list(self._open.values()):
            await inspection.close()
        self._open.clear()
        await cancel(*self._closing)

    async def inspect(
        self, requests: AsyncIterator[InspectRequest]
    ) -> AsyncGenerator[InspectResponse, None]:
        """Receives a file. Yields findings, then the verdict.

        Raises:
            SluiceError: INSPECTION_REFUSED, VALIDATION_DISK_FULL, REQUEST_INVALID.
        """
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("step") != "header":
            raise _out_of_order("The first message must be the header.")
        header = first.header
        logs.bind(task_id=header.task_id)
        policy.check(header.policy, header.options, "header.policy.rules")
        if len(self._arriving) + len(self._open) >= self._max_open:
            raise _refused(f"{self._max_open} files are already being read.")
        self._check_size(header.file_size)
        inspection = Inspection(header, self._spool, self._arriving_bytes)
        job = Job(
            inspection.request,
            inspection.source,
            inspection.folder,
            self._limits,
            self._memory_bytes,
            self._timeout_s,
            growing=True,
        )
        inspection.start(self._children, job)
        self._arriving.add(inspection)
        receiving = asyncio.create_task(self._receive(inspection, requests), name="inspect-receive")
        try:
            async with aclosing(_early(inspection)) as answers:
                async for answer in _while_receiving(answers, receiving):
                    yield answer
        finally:
            receiving.cancel()
            self._arriving.discard(inspection)
            inspection.settled.set()
            if not inspection.finished:
                # In its own task: a second cancellation must not leave the child and files behind.
                await asyncio.wait([self._close(inspection)])

    async def _receive(
        self, inspection: Inspection, requests: AsyncIterator[InspectRequest]
    ) -> None:
        async for request in requests:
            match request.WhichOneof("step"):
                case "chunk" if not inspection.finished:
                    self._check_size(inspection.size + len(request.chunk.data))
                    await inspection.add(request.chunk.data)
                case "finish" if (
                    not inspection.finished and request.finish.file_size == inspection.size
                ):
                    inspection.finish(self._reading_slots)
                    self._keep(inspection)
                case "finish" if not inspection.finished:
                    raise _out_of_order(
                        f"Received {inspection.size:,} bytes, but finish says {request.finish.file_size:,}."
                    )
                case _:
                    raise _out_of_order("Send header, chunk, chunk, ..., finish in this order.")
        if not inspection.finished:
            raise _out_of_order("The stream ended without finish.")

    def _keep(self, inspection: Inspection) -> None:
        task_id = inspection.request.task_id
        replaced = self._open.pop(task_id, None)
        if replaced is not None:
            self._close(replaced)
        self._open[task_id] = inspection
        self._arriving.discard(inspection)
        inspection.settled.set()

        async def close_later() -> None:
            await asyncio.sleep(self._keep_s)
            if self._open.get(task_id) is inspection:
                del self._open[task_id]
                await inspection.close()

        self._in_background(close_later())

    def _close(self, inspection: Inspection) -> asyncio.Task[None]:
        return self._in_background(inspection.close())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    def _check_size(self, size: int) -> None:
        if size > self._spool.bytes_per_job:
            raise _refused(f"The disk space for one file is {self._spool.bytes_per_job:,} bytes.")


async def _early(inspection: Inspection) -> AsyncGenerator[InspectResponse, None]:
    """The early findings of the child, up to the verdict."""
    try:
        async with aclosing(inspection.steps()) as steps:
            async for step in steps:
                if isinstance(step, InspectResponse):
                    yield step
                    if step.WhichOneof("step") == "verdict":
                        return
    except InspectionDroppedError as dropped:
        raise _refused(str(dropped)) from dropped
    except ChildLostError as lost:
        problem = errors.problem(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, str(lost))
        yield InspectResponse(
            verdict=EarlyVerdict(
                verdict=Verdict.VERDICT_REJECTED, summary=str(lost), problems=[problem]
            )
        )


async def _while_receiving(
    answers: AsyncGenerator[InspectResponse, None], receiving: "asyncio.Task[None]"
) -> AsyncGenerator[InspectResponse, None]:
    """Yields the answers. Raises the error of `receiving` if it fails."""
    while True:
        answer = asyncio.ensure_future(anext(answers, None))
        try:
            await asyncio.wait({answer, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and receiving.exception() is not None:
                receiving.result()
            response = await answer
        finally:
            if not answer.done():
                await cancel(answer)
        if response is None:
            return
        yield response


def _out_of_order(message: str) -> errors.SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_REQUEST_INVALID, message, column="step")


def _refused(message: str) -> errors.SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_INSPECTION_REFUSED, message)
