"""Creates, reads, aborts and deletes uploads: everything except receiving bytes."""

import time
import uuid
from dataclasses import dataclass

from services.common import errors, logs, task_states
from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.ports import ObjectStore, Tasks
from services.upload.receiving.receiver import Receiver, too_large
from services.upload.settings import Settings
from services.upload.storing import names
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState, TimeRange, UploadMode
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task


@dataclass(frozen=True)
class NewUpload:
    """The parameters of CreateUploadRequest."""

    request_id: str
    datasource: str
    filename: str
    size: int | None
    sha256: bytes
    upload_mode: "UploadMode.ValueType"
    load_mode: "LoadMode.ValueType"
    allow_duplicate: bool
    options: bytes = b""
    """A serialized ReadOptions; empty if none is specified."""
    client_metadata: str = ""
    plan_first: bool = False
    replace: TimeRange | None = None
    """The interval that a load with REPLACE_INTERVAL replaces."""
    client: str = ""
    """The client, by name or address."""


class Uploads:
    """The uploads. The id of an upload is its task id."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        tasks: Tasks,
        cleanup: Cleanup,
        receiver: Receiver,
    ) -> None:
        self._settings = settings
        self._store = store
        self._tasks = tasks
        self._cleanup = cleanup
        self._receiver = receiver

    async def create(self, new: NewUpload) -> tuple[Task, bool]:
        """Create a task, or find it by its request id. Return it and whether it is new."""
        limit = self._settings.max_file_size_bytes
        if new.size is not None and new.size > limit:
            raise too_large(limit)
        task_id = str(uuid.uuid4())
        key = names.object_key(
            new.datasource,
            new.filename,
            task_id,
            int(time.time()),
            self._settings.allowed_datasources,
        )
        # Reject early if there is no slot. The stream takes it later.
        self._receiver.admission.check(new.client, new.size or 0)
        timings = Timings()
        with timings.step("create"):
            task, created = await self._tasks.create(
                CreateTaskRequest(
                    request_id=new.request_id,
                    task_id=task_id,
                    datasource=new.datasource,
                    filename=new.filename,
                    file_uri=self._store.uri(key),
                    file_size=new.size,
                    sha256=new.sha256,
                    upload_mode=new.upload_mode or UploadMode.UPLOAD_MODE_ONE_SHOT,
                    load_mode=new.load_mode or LoadMode.LOAD_MODE_APPEND,
                    allow_duplicate=new.allow_duplicate,
                    options=new.options,
                    client_metadata=new.client_metadata,
                    plan_first=new.plan_first,
                    replace=new.replace,
                    client=new.client,
                )
            )
        timings.log(
            "upload.created", task_id=task.task_id, datasource=task.datasource, created=created
        )
        return task, created

    async def get(self, upload_id: str) -> tuple[Task, int]:
        """Return the task and its committed size in bytes."""
        return await self.with_committed(await self._tasks.get(upload_id))

    async def with_committed(self, task: Task) -> tuple[Task, int]:
        """Return the task and its committed size: 0 for an unfinished ONE_SHOT upload."""
        if task.state == TaskState.TASK_STATE_UPLOADED or task.HasField("start_time"):
            return task, task.file_size
        if (
            task.state == TaskState.TASK_STATE_PENDING
            and task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        ):
            return task, (await self._receiver.stored(task)).size
        return task, 0

    async def abort(self, upload_id: str) -> Task:
        """Abort an unfinished upload. An active writer gets an error at its next report."""
        logs.bind(task_id=upload_id)
        before = await self._tasks.get(upload_id)
        problem = errors.problem(
            ErrorReason.ERROR_REASON_CANCELLED, "The upload was aborted on request."
        )
        try:
            task = await self._tasks.end(upload_id, TaskState.TASK_STATE_CANCELLED, problem)
        except SluiceError as rejection:
            if rejection.reason != ErrorReason.ERROR_REASON_STATE_CONFLICT:
                raise
            raise errors.error(
                ErrorReason.ERROR_REASON_UPLOAD_CLOSED,
                "The upload is complete and can no longer be aborted.",
            ) from rejection
        tails = upload_id if before.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE else ""
        await self._cleanup.remove(Leftover(before.file_uri, before.multipart_id, tails=tails))
        return task

    async def delete_objects(self, task_id: str) -> int:
        """Delete the object of a terminal task.

        Returns the number of deleted objects: 0 if the object is not owned by this service.
        """
        logs.bind(task_id=task_id)
        task = await self._tasks.get(task_id)
        if task.state not in task_states.TERMINAL:
            state = task_states.name_of(task.state)
            message = f"The task is {state} and still needs its file."
            raise errors.error(
                ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": state}
            )
        if not task.file_uri.startswith(self._store.uri(names.PREFIX)):
            return 0
        await self._store.delete(task.file_uri)
        return 1
