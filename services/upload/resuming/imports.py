"""Files that lie in a bucket already: the object store copies them, and no byte passes through
us.
"""

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
from services.upload.settings import Settings
from services.upload.storing import names
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task

MAX_COPIES = 8
"""Copies that are made at once; each is work of the object store alone."""

SIGN_OF_LIFE_S = 10.0
"""How often a task whose file is being copied says that it is."""


@dataclass(frozen=True)
class NewImport:
    """What a client asks for, as in ImportObjectRequest."""

    request_id: str
    uri: str
    datasource: str
    load_mode: "LoadMode.ValueType"
    allow_duplicate: bool
    options: bytes
    client: str


class Imports:
    """Copies files to where uploads lie. A copy goes on when its caller leaves; who asks again with
    the same request id gets its task.
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

    async def take(self, new: NewImport) -> tuple[Task, bool]:
        """The task, UPLOADED or later where it is new, and whether it is new."""
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
        """Taken before the first await that follows the check, so that no two take the last one.
        Raises TOO_MANY_UPLOADS."""
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
        """The name in the address. Raises IMPORT_NOT_ALLOWED for a place that no setting names, and
        for tricks with the path.
        """
        inside = any(
            uri.startswith(place) and len(uri) > len(place) for place in self._settings.import_from
        )
        steps = uri.removeprefix("s3://").split("/")
        if not inside or any(step in ("", ".", "..") for step in steps):
            message = f"Files are not imported from {uri[:200]!r}."
            raise errors.error(
                ErrorReason.ERROR_REASON_IMPORT_NOT_ALLOWED, message, column="uri", value=uri
            )
        return steps[-1]

    async def _find(self, uri: str) -> FoundObject:
        """Raises IMPORT_NOT_FOUND, FILE_EMPTY or FILE_TOO_LARGE."""
        found = await self._store.find(uri)
        if found is None:
            bucket, key = split_uri(uri)
            message = f"The bucket {bucket} has no object {key!r}, or it may not be read."
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
            living = asyncio.create_task(self._live(task.task_id, writer))
            try:
                with timings.step("copy"):
                    await self._store.copy(source, task.file_uri, found)
            finally:
                living.cancel()
            done = await self._tasks.complete(task.task_id, found.size, b"", writer)
        except Exception as failure:
            done_after_all = await self._end(task, failure, writer)
            if done_after_all is None:
                raise
            return done_after_all
        timings.log("upload.imported", bytes=found.size)
        return done

    async def _live(self, task_id: str, writer: str) -> None:
        while True:
            await asyncio.sleep(SIGN_OF_LIFE_S)
            try:
                await self._tasks.report(task_id, 0, "", writer, 0.0)
            except SluiceError as failure:
                logs.get().warning(
                    "upload.report_failed", code=failure.code, reason=failure.problem.message
                )

    async def _end(self, task: Task, failure: Exception, writer: str) -> Task | None:
        """Ends the task as FAILED and removes the copy. Returns the task where it is UPLOADED and
        only the answer was lost.
        """
        problem = failure.problem if isinstance(failure, SluiceError) else _internal()
        logs.get().info(
            "upload.import_failed", code=errors.code_of(problem.code), reason=problem.message
        )
        try:
            await self._tasks.end(task.task_id, TaskState.TASK_STATE_FAILED, problem, writer)
        except SluiceError as refusal:
            if refusal.reason == ErrorReason.ERROR_REASON_STATE_CONFLICT:
                return await self._tasks.get(task.task_id)
            # Not known to have ended: its object stays until the sweeper has ended the task.
            logs.get().warning("upload.end_not_told", refusal=str(refusal))
            return None
        left = Leftover(task.file_uri, object=True)
        await self._cleanup.remove(left)
        self._cleanup.keep(left)
        return None


def _internal() -> Problem:
    return errors.problem(
        ErrorReason.ERROR_REASON_INTERNAL, "Something failed on our side while the file was copied."
    )
