"""Many tasks that were queued while Druid was away: it is not stormed, and afterwards every one of
them gets through.
"""

import asyncio
import random
import uuid

import asyncpg
import pytest

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, UploadMode
from sluice.druid.v1.druid_pb2 import SubmitLoadRequest, SubmitLoadResponse
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import SIZE, Services, until

TASKS = 60
DATASOURCES = 12
AWAY_S = 3.0
SEED = 7

TRIES_PER_TASK = 1.5
"""Each load may meet the absence once on its own; after that a process tries with one at a time."""


class Absence:
    """Stands before the fake's submit: while `on`, Druid is away."""

    def __init__(self, services: Services) -> None:
        self.on = True
        self.tries = 0
        self.at_once = self.most_at_once = 0
        self._submit = services.loads.submit

    async def submit(self, request: SubmitLoadRequest) -> SubmitLoadResponse:
        if self.on:
            self.tries += 1
            raise errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid does not answer.")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            return await self._submit(request)
        finally:
            self.at_once -= 1


@pytest.mark.timeout(300)
async def test_what_was_queued_while_druid_was_away_gets_through(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    absence = Absence(services)
    monkeypatch.setattr(services.loads, "submit", absence.submit)
    service = await services.start(retry_first_s=1, retry_max_s=8)
    chance = random.Random(SEED)

    async def upload(number: int) -> str:
        task_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        request = status_pb2.CreateTaskRequest(
            request_id=f"r{number}",
            task_id=task_id,
            datasource=f"ds{chance.randrange(DATASOURCES)}",
            filename="small.csv",
            file_uri=f"s3://bucket/uploads/{number}.csv",
            upload_mode=UploadMode.UPLOAD_MODE_ONE_SHOT,
            load_mode=LoadMode.LOAD_MODE_REPLACE
            if chance.random() < 0.1
            else LoadMode.LOAD_MODE_APPEND,
            allow_duplicate=True,
            client=f"client {chance.randrange(5)}",
        )
        await service.stub.CreateTask(request)
        await service.stub.CompleteUpload(
            status_pb2.CompleteUploadRequest(task_id=task_id, file_size=SIZE)
        )
        return task_id

    for number in range(TASKS):
        await upload(number)

    async def all_validated() -> bool:
        return not await sql.fetchval(
            "SELECT count(*) FROM ingestion_tasks WHERE status IN ('UPLOADED', 'VALIDATING')"
        )

    # Validation goes on while Druid is away.
    took = await until(all_validated, within_s=120)
    await asyncio.sleep(max(0.0, AWAY_S - took))
    assert absence.tries <= TASKS * TRIES_PER_TASK
    absence.on = False

    async def all_ended() -> bool:
        return not await sql.fetchval(
            "SELECT count(*) FROM ingestion_tasks WHERE completed_at IS NULL"
        )

    await until(all_ended, within_s=150)
    assert (
        await sql.fetchval(
            "SELECT count(*) FROM ingestion_tasks WHERE status = 'SUCCEEDED' AND load_state = 'LIVE'"
        )
        == TASKS
    )
    assert services.loads.submits == TASKS
    assert absence.most_at_once <= service.settings.pipeline_workers
    gaps = "SELECT count(*) FROM ingestion_tasks t WHERE last_sequence <> (SELECT count(*) FROM task_events e WHERE e.task_id = t.task_id)"
    assert await sql.fetchval(gaps) == 0
