"""Ends abandoned uploads, finishes uploads that are stored completely, deletes orphaned objects."""

import asyncio
import random

from services.common import errors, logs
from services.common.errors import SluiceError
from services.upload.ports import ObjectStore, Tasks
from services.upload.receiving.receiver import Receiver
from services.upload.settings import Settings
from services.upload.storing import names
from services.upload.storing.stored import TAILS
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task

JITTER = 0.2

FINISH_AFTER_S = 20
"""Seconds without a report after which the sweeper finishes an upload that is stored completely, so
that its client need not return. Longer than the interval between reports.
"""


class Sweeper:
    """Sweeps regularly. Replicas may sweep concurrently: every step is idempotent, and the status
    service decides which tasks have ended.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        tasks: Tasks,
        cleanup: Cleanup,
        receiver: Receiver,
    ) -> None:
        self._interval_s = settings.sweep_interval_s
        self._abandoned_after_s = settings.abandoned_after_s
        self._retention_s = settings.upload_retention_s
        self._store = store
        self._tasks = tasks
        self._cleanup = cleanup
        self._receiver = receiver
        self._incomplete: dict[str, tuple[int, int]] = {}
        """Uploads that lack bytes, with the time of their last change."""

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311
            try:
                await self.sweep()
            except SluiceError as failure:
                logs.get().warning(
                    "sweep.postponed", code=failure.code, reason=failure.problem.message
                )
            except Exception as failure:
                # A bug must not end the sweeps.
                logs.get().error("sweep.failed", exc_info=failure)

    async def sweep(self) -> None:
        """Sweep once.

        Raises:
            SluiceError: the object store or the status service is unavailable. The next sweep
            continues.
        """
        # The order matters: multipart uploads and tails are created only for PENDING tasks. What is
        # listed here, but has no PENDING task when they are listed later, belongs to an ended task.
        multiparts = await self._store.open_multiparts(names.PREFIX)
        tails = await self._store.uris(TAILS)
        await self._finish_stored()
        for task in [task async for task in self._tasks.pending(self._abandoned_after_s)]:
            if task.upload_mode == UploadMode.UPLOAD_MODE_ONE_SHOT:
                await self._end(task, ErrorReason.ERROR_REASON_CLIENT_GONE, self._abandoned_after_s)
        for task in [task async for task in self._tasks.pending(self._retention_s)]:
            if task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE:
                await self._end(task, ErrorReason.ERROR_REASON_UPLOAD_EXPIRED, self._retention_s)
        if multiparts or tails:
            await self._remove_orphans(multiparts, tails)
        await self._cleanup.retry()

    async def _finish_stored(self) -> None:
        pending = [task async for task in self._tasks.pending(FINISH_AFTER_S)]
        silent = {
            task.task_id: task
            for task in pending
            if task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        }
        self._incomplete = {key: at for key, at in self._incomplete.items() if key in silent}
        for task in silent.values():
            changed_at = (task.update_time.seconds, task.update_time.nanos)
            if self._incomplete.get(task.task_id) == changed_at:
                continue
            try:
                if await self._receiver.finish_stored(task):
                    logs.get().info("sweep.upload_finished", task_id=task.task_id)
                else:
                    self._incomplete[task.task_id] = changed_at
            except SluiceError as rejection:
                logs.get().info(
                    "sweep.upload_not_finished", task_id=task.task_id, refusal=str(rejection)
                )

    async def _remove_orphans(self, multiparts: list[tuple[str, str]], tails: list[str]) -> None:
        pending = {task.task_id: task.file_uri async for task in self._tasks.pending()}
        receiving = set(pending.values())
        for uri, multipart_id in multiparts:
            if uri not in receiving and await self._cleanup.remove(Leftover(uri, multipart_id)):
                logs.get().info("sweep.multipart_aborted", uri=uri)
        for uri in tails:
            if uri.removeprefix(self._store.uri(TAILS)).partition("/")[
                0
            ] not in pending and await self._cleanup.remove(Leftover(uri, object=True)):
                logs.get().info("sweep.tail_deleted", uri=uri)

    async def _end(self, task: Task, reason: "ErrorReason.ValueType", silent_s: int) -> None:
        problem = errors.problem(
            reason,
            f"No data arrived for {silent_s} s after {task.received_size:,} bytes.",
        )
        try:
            await self._tasks.end(task.task_id, TaskState.TASK_STATE_CANCELLED, problem)
        except SluiceError as rejection:
            if rejection.reason == ErrorReason.ERROR_REASON_STATE_CONFLICT:
                return  # It was completed since it was listed.
            raise
        # If this fails, the next sweep finds the multipart upload as an orphan.
        tails = task.task_id if task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE else ""
        await self._cleanup.remove(
            Leftover(task.file_uri, task.multipart_id, object=True, tails=tails)
        )
        logs.get().info("sweep.task_ended", task_id=task.task_id, uri=task.file_uri)
