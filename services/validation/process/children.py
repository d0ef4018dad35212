"""Child processes that read files: one file at a time, killed if it exceeds its limits.

One idle child is kept ready because starting one takes longer than reading a small file. A child
that has read a text file and stayed small reads the next file. After a workbook, whose readers are
third-party, and after anything unusual, a new child starts.

If the kernel killed a child, or it exceeded its share of the memory, other files may be the cause.
Its file is read once more, alone, with all the memory (ADR 0026).
"""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from services.common import errors, logs
from services.validation.process.child import Job
from services.validation.process.frames import HEADER, MAX_FRAME_BYTES, SIZE, Kind, pack
from services.validation.process.gate import Gate
from services.validation.process.spool import disk_full, used_bytes
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import (
    FileFormat,
    InspectResponse,
    ValidateObjectRequest,
    ValidateObjectResponse,
    ValidationProgress,
)

Step = ValidateObjectResponse | InspectResponse

MEMORY_INTERVAL_S = 0.05
SPACE_INTERVAL_S = 0.5
SMALL_CHILD_BYTES = 256 * 1024**2
"""Largest memory of a child that is reused."""


class Growing:
    """The growth of a source, for the child that reads it.

    `memory_bytes`: memory limit of the child until the source is complete.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.complete = asyncio.Event()

    def grow(self, size: int) -> None:
        """Sends the size."""
        self.frames.put_nowait(pack(Kind.GROWN, SIZE.pack(size)))

    def finish(self, request: ValidateObjectRequest) -> None:
        """Marks the source as complete, which starts the child's time limit."""
        self.frames.put_nowait(pack(Kind.COMPLETE, request.SerializeToString()))
        self.complete.set()


class ChildLostError(Exception):
    """The child ended without a report because of its file. The message is for users."""


class InspectionDroppedError(Exception):
    """The child of a growing source ended, but not because of its file."""


class _CrowdedError(Exception):
    """The child ended, maybe because others use the memory. The message is for users."""


@dataclass(frozen=True)
class _Excess:
    """The limit that a child exceeded."""

    description: str
    is_memory: bool = False


class Children:
    """Starts, watches and stops the children.

    `spool_bytes`: disk space of a job. `alone_bytes`: memory limit of a child without others, if
    larger than that of its job.
    """

    def __init__(self, spool_bytes: int, alone_bytes: int = 0) -> None:
        self._spool_bytes, self._alone_bytes = spool_bytes, alone_bytes
        self._idle: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._running: dict[Process, Growing | None] = {}
        self._gate = Gate()
        self._stopping = False

    async def start(self) -> None:
        """Starts the idle child."""
        self._idle = await self._spawn()

    async def stop(self) -> None:
        """Kills all children."""
        self._stopping = True
        if self._starting is not None:
            await asyncio.wait([self._starting])
        idle, self._idle = self._idle, None
        for process in [*self._running, *([idle] if idle else [])]:
            await _kill(process)

    async def examine(self, job: Job, growing: Growing | None = None) -> AsyncGenerator[Step, None]:
        """Yields progress, early findings and finally the report of one file.

        Closing the generator kills the child.

        Raises:
            ChildLostError: the child died, or was killed because it exceeded a limit.
            InspectionDroppedError: a growing source must be read later.
            SluiceError: VALIDATION_DISK_FULL; INTERNAL.
        """
        if growing is not None and self._gate.is_wanted_alone:
            raise InspectionDroppedError("A large file is being read alone.")
        try:
            async with self._gate.shared(), aclosing(self._examine(job, growing)) as steps:
                async for step in steps:
                    yield step
            return
        except _CrowdedError as lost:
            if growing is not None:
                raise InspectionDroppedError(str(lost)) from lost
        yield ValidateObjectResponse(progress=ValidationProgress(phase="queued"))
        self._drop_inspections()
        async with self._gate.alone():
            logs.get().info("child.alone")
            await asyncio.to_thread(_clear, job)
            more = replace(job, memory_bytes=max(job.memory_bytes, self._alone_bytes))
            try:
                async with aclosing(self._examine(more)) as steps:
                    async for step in steps:
                        yield step
            except _CrowdedError as lost:
                raise ChildLostError(str(lost)) from lost

    def _drop_inspections(self) -> None:
        """Kills the children of growing sources, which may arrive for hours and can be read later."""
        for process, growing in self._running.items():
            if growing is not None and not growing.complete.is_set():
                with suppress(ProcessLookupError):
                    process.kill()

    async def _examine(
        self,
        job: Job,
        growing: Growing | None = None,
    ) -> AsyncGenerator[Step, None]:
        """Reads a file once, like `examine`.

        Raises:
            _CrowdedError: other children may be the cause that the child died.
        """
        idle, self._idle = self._idle, None
        process = idle if idle is not None and idle.returncode is None else await self._spawn()
        self._running[process] = growing
        usable = False
        watching = asyncio.create_task(self._watch(process, job, growing), name="child-watch")
        feeding = (
            asyncio.create_task(_feed(process, growing), name="child-feed") if growing else None
        )
        try:
            if growing is not None and self._gate.is_wanted_alone:
                raise _CrowdedError("A large file waits to be read alone.")
            async for response in self._responses(process, job):
                done = (
                    isinstance(response, ValidateObjectResponse)
                    and response.WhichOneof("step") == "report"
                )
                # A fast child may have written all its parts between two checks.
                if done and await self._takes_too_much_space(job):
                    raise ChildLostError(f"Reading the file took {self._too_much_space}.")
                usable = isinstance(response, ValidateObjectResponse) and _is_usable(
                    process, response
                )
                yield response
                if done:
                    return
            await process.wait()
            raise self._lost(process, job, watching)
        finally:
            watching.cancel()
            if feeding is not None:
                feeding.cancel()
            self._running.pop(process, None)
            if usable and self._idle is None and not self._stopping:
                self._idle = process
            else:
                await _kill(process)
            self._refill()

    async def _responses(self, process: Process, job: Job) -> AsyncGenerator[Step, None]:
        commands, answers = process.stdin, process.stdout
        if commands is None or answers is None:
            raise RuntimeError("the child was started without pipes")
        with suppress(ConnectionError):
            commands.write(pack(Kind.JOB, job.to_json()))
            await commands.drain()
        while True:
            try:
                size, kind = HEADER.unpack(await answers.readexactly(HEADER.size))
                if size > MAX_FRAME_BYTES:
                    return
                message = await answers.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if kind == Kind.DISK_FULL:
                logs.get().error("child.disk_full", failure=message.decode())
                raise disk_full()
            if kind == Kind.OUT_OF_MEMORY:
                raise ChildLostError("Reading the file needs more memory than is available.")
            if kind == Kind.FAILURE:
                logs.get().error("child.failed", failure=message.decode())
                raise errors.error(
                    ErrorReason.ERROR_REASON_INTERNAL,
                    "Reading the file failed; see the log of the validation service.",
                )
            yield (
                InspectResponse.FromString(message)
                if kind == Kind.EARLY
                else ValidateObjectResponse.FromString(message)
            )

    async def _watch(self, process: Process, job: Job, growing: Growing | None) -> _Excess | None:
        """Kills the child when it exceeds its memory, disk space or time. Returns the limit."""
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        space_due = 0.0
        while True:
            try:
                own = _own_bytes(process)
            except psutil.NoSuchProcess:
                return None
            arriving = growing is not None and not growing.complete.is_set()
            limit = growing.memory_bytes if growing is not None and arriving else job.memory_bytes
            if own > limit:
                excess = _Excess(f"more than {limit // 1024**2:,} MiB of memory", is_memory=True)
                break
            if deadline is None and not arriving:
                deadline = loop.time() + job.timeout_s
            if deadline is not None and loop.time() > deadline:
                excess = _Excess(f"more than {job.timeout_s:g} seconds")
                break
            if loop.time() >= space_due:
                if await self._takes_too_much_space(job):
                    excess = _Excess(self._too_much_space)
                    break
                space_due = loop.time() + SPACE_INTERVAL_S
            await asyncio.sleep(MEMORY_INTERVAL_S)
        with suppress(ProcessLookupError):
            process.kill()
        return excess

    async def _takes_too_much_space(self, job: Job) -> bool:
        return await asyncio.to_thread(used_bytes, job.folder) > self._spool_bytes

    @property
    def _too_much_space(self) -> str:
        return f"more than {self._spool_bytes // 1024**2:,} MiB of disk space"

    def _lost(
        self,
        process: Process,
        job: Job,
        watching: "asyncio.Task[_Excess | None]",
    ) -> Exception:
        if self._stopping:
            return errors.error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "The validation service is stopping."
            )
        excess = watching.result() if watching.done() and not watching.cancelled() else None
        logs.get().warning(
            "child.lost",
            excess=excess.description if excess is not None else "",
            returncode=process.returncode,
        )
        growing = self._running.get(process)
        if excess is not None:
            arriving = growing is not None and not growing.complete.is_set()
            more = arriving or job.memory_bytes < self._alone_bytes
            kind = _CrowdedError if excess.is_memory and more else ChildLostError
            return kind(f"Reading the file took {excess.description}.")
        kind = _CrowdedError if process.returncode == -signal.SIGKILL else ChildLostError
        return kind("Reading the file crashed its process, most likely for lack of memory.")

    def _refill(self) -> None:
        if (
            self._stopping
            or self._idle is not None
            or (self._starting is not None and not self._starting.done())
        ):
            return

        async def refill() -> None:
            process = await self._spawn()
            if self._idle is None and not self._stopping:
                self._idle = process
            else:
                await _kill(process)

        self._starting = asyncio.create_task(refill(), name="child-refill")

    async def _spawn(self) -> Process:
        # In its own session: a Ctrl-C in the terminal must not look like a file that kills its
        # reader.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.validation.process.child",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=_environment(),
            start_new_session=True,
        )


def _clear(job: Job) -> None:
    """Removes everything except the source from the job's folder."""
    for path in job.folder.iterdir():
        if path == job.source:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _environment() -> dict[str, str]:
    """Only the variables that a child needs, so without the object store's credentials."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME", "LANG", "TMPDIR", "POLARS_MAX_THREADS"}
    }
    return {
        **passed,
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        "PYTHONUNBUFFERED": "1",
    }


def _own_bytes(process: Process) -> int:
    """Memory of the child without mapped files, whose pages the system can reclaim."""
    memory = psutil.Process(process.pid).memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def _is_usable(process: Process, response: ValidateObjectResponse) -> bool:
    """Whether the child may read another file after this response."""
    with suppress(psutil.NoSuchProcess):
        return (
            response.report.format == FileFormat.FILE_FORMAT_CSV
            and _own_bytes(process) < SMALL_CHILD_BYTES
        )
    return False


async def _feed(process: Process, growing: Growing) -> None:
    """Sends the growth of the source to the child."""
    commands = process.stdin
    if commands is None:
        raise RuntimeError("the child was started without pipes")
    # The end of its answers reports a dead child.
    with suppress(ConnectionError):
        while True:
            commands.write(await growing.frames.get())
            await commands.drain()


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    # The transport holds this end of the pipes.
    process._transport.close()  # type: ignore[attr-defined]
