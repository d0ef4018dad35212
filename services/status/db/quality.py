"""Settings of datasources and quality summaries of their files: the tables `datasource_settings`
and `task_quality`.
"""

from collections.abc import Iterable, Sequence

from services.status.db.database import Database
from services.status.tasks.machine import State
from services.status.tasks.messages import state_value, time_stamp
from services.status.tasks.quality import merged
from services.status.tasks.task import Owner, Task
from sluice.status.v1.status_pb2 import DatasourceSettings, TaskQuality
from sluice.validation.v1.validation_pb2 import (
    Contract,
    Policy,
    Quality,
    ReadOptions,
    Rule,
)

LIMIT = 20
"""Default number of tasks in ListQuality."""


class QualityRecords:
    """Implements ports.QualityRecords. `patience_s` as in store.Store."""

    def __init__(self, database: Database, patience_s: float) -> None:
        self._database, self._patience_s = database, patience_s

    async def settings(self, datasource: str) -> DatasourceSettings:
        """Returns the settings of a datasource, empty by default."""
        sql = "SELECT settings FROM datasource_settings WHERE datasource_name = $1"
        found = await self._database.fetchval(sql, datasource, patience_s=self._patience_s)
        stored = DatasourceSettings.FromString(found or b"")
        _clear_unused_limits(stored.policy.rules)
        _clear_unused_limits(stored.options.rules)
        return stored

    async def set_settings(
        self, datasource: str, settings: DatasourceSettings
    ) -> DatasourceSettings:
        """Replaces the settings. Drops the fields of the contract that the server sets."""
        stored = DatasourceSettings()
        stored.CopyFrom(settings)
        if stored.policy.HasField("contract"):
            stored.policy.contract.CopyFrom(Contract(mode=settings.policy.contract.mode))
        sql = """INSERT INTO datasource_settings (datasource_name, settings) VALUES ($1, $2)
            ON CONFLICT (datasource_name) DO UPDATE SET settings = $2, updated_at = clock_timestamp()"""
        serialized = stored.SerializeToString(deterministic=True)
        await self._database.execute(sql, datasource, serialized, patience_s=self._patience_s)
        return stored

    async def expected(self, task: Task) -> tuple[Policy, ReadOptions | None]:
        """Returns the policy and the read options for the task's file. The policy's contract has
        the columns of the last load of the datasource that is not replaced.
        """
        settings = await self.settings(task.datasource_name)
        sql = """SELECT q.task_id, q.quality FROM task_quality q JOIN ingestion_tasks t USING (task_id)
            WHERE t.datasource_name = $1 AND t.task_id <> $2 AND t.repair_of = ''
                AND t.status = 'SUCCEEDED' AND t.load_state IN ('LIVE', 'PARTLY_REPLACED')
            ORDER BY t.completed_at DESC LIMIT 1"""
        last = await self._database.fetchrow(
            sql, task.datasource_name, task.task_id, patience_s=self._patience_s
        )
        policy = settings.policy
        if last is not None:
            columns = Quality.FromString(last["quality"]).columns
            policy.contract.MergeFrom(Contract(task_id=last["task_id"], columns=columns))
        specified = ReadOptions.FromString(task.options)
        _clear_unused_limits(specified.rules)
        return policy, merged(settings.options, specified)

    async def keep(self, task: Task, owner: Owner, quality: Quality) -> None:
        """Stores the quality summary of the leased task. Does nothing if the lease is lost."""
        sql = """INSERT INTO task_quality (task_id, quality)
            SELECT task_id, $4 FROM ingestion_tasks WHERE task_id = $1 AND attempt = $2 AND worker = $3
            ON CONFLICT (task_id) DO UPDATE SET quality = $4, updated_at = clock_timestamp()"""
        await self._database.execute(
            sql,
            task.task_id,
            owner.attempt,
            owner.worker,
            quality.SerializeToString(deterministic=True),
            patience_s=self._patience_s,
        )

    async def history(self, datasource: str, limit: int) -> Sequence[TaskQuality]:
        """Returns the quality summaries of the datasource, newest first."""
        sql = """SELECT t.task_id, t.status, t.original_filename, t.created_at, q.quality FROM task_quality q
            JOIN ingestion_tasks t USING (task_id) WHERE t.datasource_name = $1 ORDER BY t.created_at DESC, t.task_id DESC LIMIT $2"""
        rows = await self._database.fetch(
            sql, datasource, limit or LIMIT, patience_s=self._patience_s
        )
        return [
            TaskQuality(
                task_id=row["task_id"],
                state=state_value(State(row["status"])),
                filename=row["original_filename"],
                create_time=time_stamp(row["created_at"]),
                quality=Quality.FromString(row["quality"]),
            )
            for row in rows
        ]


def _clear_unused_limits(rules: Iterable[Rule]) -> None:
    """Clears limits that an earlier release accepted but did not use."""
    for rule in rules:
        if rule.name == "time_column":
            rule.ClearField("limit")
