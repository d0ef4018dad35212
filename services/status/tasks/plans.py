"""Plans of loads: created after validation, stored, and applied by their hash."""

import hashlib

from services.common import errors
from services.status.ports import LoadRecords, Loads, PipelineRecords, Store, Validation
from services.status.tasks import problems
from services.status.tasks.commands import Commands
from services.status.tasks.loads import StoredPlan, plan_request
from services.status.tasks.machine import Move, State
from services.status.tasks.messages import time_stamp
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1.druid_pb2 import PlanIngestionResponse
from sluice.status.v1.status_pb2 import GetPlanResponse
from sluice.validation.v1.validation_pb2 import Report


async def make(task: Task, report: Report, loads: Loads, records: PipelineRecords) -> StoredPlan:
    """Creates the plan of the task's load for the current state of Druid.

    Raises:
        SluiceError: errors of PlanIngestion.
    """
    plan = await loads.plan(
        plan_request(task, report, await records.rows_per_second(report.rows_loadable))
    )
    return StoredPlan(_hash(task, plan), plan.SerializeToString())


def begin(task: Task, rows: int) -> Move:
    """Returns the transition that starts the load."""
    return Move(State.INGESTING, f"{rows:,} rows are being loaded into {task.datasource_name}.")


class Plans:
    """Reads and applies the plans of tasks."""

    def __init__(
        self,
        commands: Commands,
        records: LoadRecords,
        store: Store,
        validation: Validation,
        loads: Loads,
    ) -> None:
        self._commands = commands
        self._records = records
        self._store = store
        self._validation = validation
        self._loads = loads

    async def get(self, task_id: str) -> GetPlanResponse:
        """Returns the newest plan of a task.

        Raises:
            SluiceError: TASK_NOT_FOUND, NOT_PLANNED, DATABASE_UNAVAILABLE.
        """
        task = await self._commands.get(task_id)
        stored = await self._stored_plan(task)
        return GetPlanResponse(
            task_id=task.task_id,
            plan_hash=stored.plan_hash,
            create_time=time_stamp(stored.created_at),
            datasource=task.datasource_name,
            load_mode=LoadMode.Value(f"LOAD_MODE_{task.load_mode}"),
            plan=PlanIngestionResponse.FromString(stored.plan),
        )

    async def apply(self, task_id: str, plan_hash: str) -> Task:
        """Starts the load if `plan_hash` is the hash of its plan, and the plan is still valid.

        Raises:
            SluiceError: TASK_NOT_FOUND, NOT_PLANNED, STATE_CONFLICT, PLAN_STALE, DUPLICATE_CONTENT,
            DRUID_UNAVAILABLE, ...
        """
        task = await self._commands.get(task_id)
        stored = await self._stored_plan(task)
        if stored.plan_hash != plan_hash:
            raise errors.error(
                ErrorReason.ERROR_REASON_PLAN_STALE, "This is not the task's plan.", value=plan_hash
            )
        if task.status is State.PLANNED:
            report = await self._validation.report(task.task_id, task.report_attempt)
            now = await make(task, report, self._loads, self._records)
            if now.plan_hash != plan_hash:
                await self._records.renew_plan(task.task_id, now)
                raise errors.error(
                    ErrorReason.ERROR_REASON_PLAN_STALE,
                    f"{task.datasource_name} has changed since the plan was made.",
                    value=plan_hash,
                )
            await self._begin(task)
            task = await self._commands.get(task_id)
        if not any(state is State.INGESTING for state, _ in task.entered):
            raise problems.conflict(task, "cannot be loaded any more")
        return task

    async def _stored_plan(self, task: Task) -> StoredPlan:
        stored = await self._records.plan(task.task_id)
        if stored is None:
            raise errors.error(
                ErrorReason.ERROR_REASON_NOT_PLANNED,
                f"The task has no plan: it is {task.status}.",
                metadata={"state": str(task.status)},
            )
        return stored

    async def _begin(self, task: Task) -> None:
        move = begin(task, task.rows_loadable or 0)
        if task.allow_duplicate:
            await self._store.move(task.task_id, State.PLANNED, move)
        elif duplicate := await self._store.move_unless_duplicate(task, move, None):
            raise errors.SluiceError(problems.duplicate(task, duplicate))


def _hash(task: Task, plan: PlanIngestionResponse) -> str:
    """Hashes the plan without its estimates."""
    what = PlanIngestionResponse()
    what.CopyFrom(plan)
    what.ClearField("sub_tasks")
    what.ClearField("estimated_seconds")
    return hashlib.sha256(
        task.task_id.encode() + what.SerializeToString(deterministic=True)
    ).hexdigest()
