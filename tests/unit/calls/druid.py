"""The Druid gateway: every HTTP request to Druid fails it. Only Druid itself is ours here; the HTTP
client is the real one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from unittest.mock import patch

import httpx

from services.common.backoff import Backoff
from services.common.errors import SluiceError
from services.druid_gateway.http import client as druid_http
from services.druid_gateway.loads.load import Column, ColumnType, Interval, Load, Mode, Part
from services.druid_gateway.loads.submitting import submit
from services.druid_gateway.removing import removing
from services.druid_gateway.removing.removing import Removal, remove
from services.druid_gateway.watching import pacing
from services.druid_gateway.watching.counting import Counts, count_loads
from services.druid_gateway.watching.poller import Phase, TaskPoller, watch_load
from services.druid_gateway.watching.verifying import Expected, verify
from tests.unit.calls.druid_server import DruidServer
from tests.unit.calls.failing import LATE, Kind, Plan, Stage, hold

TASK_ID = "00000000-0000-4000-8000-000000000001"
ROWS = 7
MOST_TRIES = 20

HTML = "<html><body><h2>Bad gateway</h2></body></html>"

Result = TypeVar("Result")


class _Inputs:
    async def of(self, parts: object, lifetime_s: int) -> dict[str, object]:
        return {"type": "s3", "uris": []}


class World:
    """A gateway's domain on its real HTTP adapter."""

    def __init__(self, plan: Plan) -> None:
        self.server = DruidServer()
        self._plan = plan
        self.http = httpx.AsyncClient(
            base_url="http://druid.test", transport=httpx.MockTransport(self._answer), timeout=5
        )
        self.druid = druid_http.HttpDruid(self.http)
        self.poller = TaskPoller(self.druid, outage_s=0)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        call = self._plan.next(f"{request.method} {request.url.path}")
        match call.kind:
            case Kind.REFUSED:
                raise httpx.ConnectError("refused")
            case Kind.TIMEOUT:
                raise httpx.ReadTimeout("no answer")
            case Kind.SERVER_ERROR:
                return httpx.Response(502, text=HTML)
        answer = self.server.answer(request)
        if call.kind is Kind.RESET:
            raise httpx.ReadError("reset")
        return httpx.Response(200, text=HTML) if call.kind in LATE else answer

    async def insist(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """The answer, asked for again as the status service does."""
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                return await ask()
            except SluiceError as failure:
                hold(failure.code == "DRUID_UNAVAILABLE", f"Druid is there, and we say {failure}")
                hold(tries_left > 0, "it never answers")
        raise AssertionError

    def load(self, attempt: int) -> Load:
        columns = [Column("amount", ColumnType.DOUBLE)]
        return Load(
            TASK_ID, attempt, "sales", Mode.APPEND, columns, [Part("s3://b/k", ROWS)], 0, 1000, ROWS
        )

    async def submit(self, attempt: int = 1) -> None:
        await self.insist(lambda: submit(self.druid, _Inputs(), self.load(attempt), 60))

    async def watch(self, attempt: int = 1) -> Phase:
        async def last() -> Phase:
            news = [
                each
                async for each in watch_load(
                    self.druid, self.poller, self.load(attempt).druid_task_id
                )
            ]
            return news[-1].phase

        polling = asyncio.create_task(self.poller.run())
        try:
            return await self.insist(last)
        finally:
            polling.cancel()
            await asyncio.wait([polling])

    async def verified(self, wait_s: float = 1.0) -> bool:
        expected = Expected(ROWS, [("amount", float(ROWS))])
        interval = Interval(0, 86_400_000)
        return (
            await self.insist(
                lambda: verify(self.druid, "sales", TASK_ID, interval, expected, wait_s)
            )
        ).verified

    async def counted(self) -> dict[str, int]:
        async def count() -> Counts:
            return await count_loads(self.druid, "sales", Interval(0, 86_400_000), [TASK_ID], 1.0)

        found = await self.insist(count)
        hold(found.complete, "all segments are there, and the count is not complete")
        return dict(found.rows)

    async def remove(self, *attempts: int) -> None:
        ids = [self.load(attempt).druid_task_id for attempt in attempts]
        for _ in range(MOST_TRIES):
            if (
                await self.insist(lambda: remove(self.druid, Removal("sales", TASK_ID, ids), 1.0))
            ).removed:
                hold(
                    not self.server.running(), "removed is said while a task of the load still runs"
                )
                hold(self.server.rows(TASK_ID) == 0, "removed is said while rows are there")
                return
        hold(False, "it is never removed")


async def _loaded(plan: Plan) -> None:
    world = World(plan)
    with _hurried():
        await world.submit()
        phase = await world.watch()
        hold(phase is Phase.SUCCEEDED, f"the load succeeded, and {phase} was said")
        hold(await world.verified(), "the rows are there, and it is not verified")
        hold(await world.counted() == {TASK_ID: ROWS}, "the rows are there, and others are counted")
        hold(
            (world.server.rows(TASK_ID), len(world.server.tasks)) == (ROWS, 1),
            "it was loaded twice",
        )
    await world.http.aclose()


async def _loaded_and_removed(plan: Plan) -> None:
    world = World(plan)
    with _hurried():
        await world.submit()
        await world.watch()
        await world.verified()
        await world.remove(1)
        hold(not await world.verified(wait_s=0), "the rows are gone, and it is verified")
    await world.http.aclose()


async def _removed_while_it_runs(plan: Plan) -> None:
    world = World(plan)
    with _hurried():
        await world.submit()
        await world.remove(1)
        world.server.time_passes()
        hold(world.server.rows(TASK_ID) == 0, "rows came after the removal")
    await world.http.aclose()


async def _removed_before_its_submit(plan: Plan) -> None:
    """The submit of a worker that was frozen comes after the removal."""
    world = World(plan)
    with _hurried():
        await world.remove(1)
        await world.submit(1)
        world.server.time_passes()
        hold(world.server.rows(TASK_ID) == 0, "a submit that came late loaded rows")
    await world.http.aclose()


@contextmanager
def _hurried() -> Iterator[None]:
    with (
        patch.object(druid_http, "RETRY", Backoff(0, 0)),
        patch.object(pacing, "FAST_S", 0.0005),
        patch.object(removing, "PAUSE_S", 0.0005),
        patch("services.druid_gateway.watching.poller.UNKNOWN_FOR_S", 0),
    ):
        yield


STAGES: dict[str, Stage] = {
    "druid gateway, a load": _loaded,
    "druid gateway, a load taken back": _loaded_and_removed,
    "druid gateway, a load stopped": _removed_while_it_runs,
    "druid gateway, a late submit": _removed_before_its_submit,
}
