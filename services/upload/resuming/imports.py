"""Imports: the object store copies files from a bucket, and no bytes pass through this process."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.common import errors, logs
from services.common.errors import SluiceError
from services.common.s3 import split_uri
from services.common.timing import Timings
from services.upload.ports import FoundObject, ObjectStore, Tasks
from services.upload.receiving.admission import too_many
from services.upload.receiving.background import Background
from services.upload.receiving.receiver import Receiver, empty, too_large
from services.upload.receiving.stream import problem_of
from services.upload.settings import Settings
from services.upload.storing import names
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task

MAX_COPIES = 8
"""Concurrency limit of copies, which only the object store works on."""

HEARTBEAT_S = 10.0
"""Seconds between heartbeats of a task during the copy."""


@dataclass(frozen=True)
class NewImport:
    """The parameters of ImportObjectRequest."""

    request_id: str
    uri: str
    datasource: str
    load_mode: "LoadMode.ValueType"
    allow_duplicate: bool
    options: bytes
    client: str


class Imports:
    """Imports files. A copy continues if its caller disconnects; a repeated request id returns its
    task.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        tasks: Tasks,
        cleanup: Cleanup,
        receiver: Receiver,
        background: Background,
    ) -> None:
        self._settings = settings
        self._store = store
        self._tasks = tasks
        self._cleanup = cleanup
        self._admission = receiver.admission
        self._background = background
        self._copying = 0

    async def create(self, new: NewImport) -> tuple[Task, bool]:
        """Import a file. Return its task, UPLOADED or later if it is new, and whether it is new."""
        filename = self._filename(new.uri)
        task_id = str(uuid.uuid4())
        key = names.object_key(
            new.datasource, filename, task_id, int(time.time()), self._settings.allowed_datasources
        )
        with self._admission.waiting():
            found = await self._find(new.uri)
        request = CreateTaskRequest(
            request_id=new.request_id,
            task_id=task_id,
            datasource=new.datasource,
            filename=filename,
            file_uri=self._store.uri(key),
            file_size=found.size,
            upload_mode=UploadMode.UPLOAD_MODE_ONE_SHOT,
            load_mode=new.load_mode or LoadMode.LOAD_MODE_APPEND,
            allow_duplicate=new.allow_duplicate,
            options=new.options,
            client=new.client,
        )
        return await asyncio.shield(self._background.start(self._import(new.uri, found, request)))

    async def _import(
        self, uri: str, found: FoundObject, request: CreateTaskRequest
    ) -> tuple[Task, bool]:
        with self._slot(request.client, found.size):
            task, created = await self._tasks.create(request)
            logs.bind(task_id=task.task_id)
            return (await self._copy(uri, found, task) if created else task), created

    @contextmanager
    def _slot(self, client: str, size: int) -> Iterator[None]:
        """Take a slot without an await after the check, so that no two imports get the last one.

        Raises:
            SluiceError: TOO_MANY_UPLOADS.
        """
        if self._copying >= MAX_COPIES:
            raise too_many(f"The limit of concurrent imports is reached: {MAX_COPIES}.")
        slot = self._admission.take(client, size)
        self._copying += 1
        try:
            yield
        finally:
            self._copying -= 1
            self._admission.give_back(slot)

    def _filename(self, uri: str) -> str:
        """Return the file name in the URI.

        Raises:
            SluiceError: IMPORT_NOT_ALLOWED, if no prefix of IMPORT_FROM matches, or the path has
            empty, `.` or `..` segments.
        """
        allowed = any(
            uri.startswith(prefix) and uri != prefix for prefix in self._settings.import_from
        )
        segments = uri.removeprefix("s3://").split("/")
        if not allowed or any(segment in ("", ".", "..") for segment in segments):
            message = f"Imports from {uri[:200]!r} are not allowed."
            raise errors.error(
                ErrorReason.ERROR_REASON_IMPORT_NOT_ALLOWED, message, column="uri", value=uri
            )
        return segments[-1]

    async def _find(self, uri: str) -> FoundObject:
        """Find the object. Raises IMPORT_NOT_FOUND, FILE_EMPTY or FILE_TOO_LARGE."""
        found = await self._store.find(uri)
        if found is None:
            bucket, key = split_uri(uri)
            message = f"The bucket {bucket} has no object {key!r}, or access to it is denied."
            raise errors.error(
                ErrorReason.ERROR_REASON_IMPORT_NOT_FOUND, message, column="uri", value=uri
            )
        if not found.size:
            raise empty()
        if found.size > self._settings.max_file_size_bytes:
            raise too_large(self._settings.max_file_size_bytes)
        return found

    async def _copy(self, source: str, found: FoundObject, task: Task) -> Task:
        timings, writer = Timings(), str(uuid.uuid4())
        try:
            await self._tasks.begin(task.task_id, 0, "", writer)
            heartbeat = asyncio.create_task(self._send_heartbeats(task.task_id, writer))
            try:
                with timings.step("copy"):
                    await self._store.copy(source, task.file_uri, found)
            finally:
                heartbeat.cancel()
            done = await self._tasks.complete(task.task_id, found.size, b"", writer)
        except Exception as failure:
            completed = await self._end(task, failure, writer)
            if completed is None:
                raise
            return completed
        timings.log("upload.imported", bytes=found.size)
        return done

    async def _send_heartbeats(self, task_id: str, writer: str) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._tasks.report(task_id, 0, "", writer, 0.0)
            except SluiceError as failure:
                logs.get().warning(
                    "upload.report_failed", code=failure.code, reason=failure.problem.message
                )

    async def _end(self, task: Task, failure: Exception, writer: str) -> Task | None:
        """End the task as FAILED and remove the copy.

        Returns the task if it is UPLOADED and only the response was lost.
        """
        problem = problem_of(failure)
        logs.get().info(
            "upload.import_failed", code=errors.code_of(problem.code), reason=problem.message
        )
        try:
            await self._tasks.end(task.task_id, TaskState.TASK_STATE_FAILED, problem, writer)
        except SluiceError as rejection:
            if rejection.reason == ErrorReason.ERROR_REASON_STATE_CONFLICT:
                return await self._tasks.get(task.task_id)
            # The task may not have ended. The object stays until the sweeper ends it.
            logs.get().warning("upload.end_not_told", refusal=str(rejection))
            return None
        left = Leftover(task.file_uri, object=True)
        await self._cleanup.remove(left)
        self._cleanup.retry_later(left)
        return None
