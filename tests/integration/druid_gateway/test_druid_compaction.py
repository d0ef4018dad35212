"""Segments that Druid or an operator rewrote: removing a load takes its own rows or none, on a real
Druid.
"""

import asyncio
import contextlib

import grpc
import pytest

from services.common import errors
from services.druid_gateway.http import client as druid_http
from services.druid_gateway.loads.load import Interval
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1 import druid_pb2 as pb
from tests.integration.druid_gateway.loading import (
    DAY,
    FEBRUARY,
    JANUARY,
    Gateway,
    Loaded,
    rows,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def refusal(gateway: Gateway, load: Loaded) -> errors.SluiceError:
    with pytest.raises(grpc.RpcError) as refused:
        await gateway.remove(load)
    return errors.from_rpc(refused.value, "druid_gateway")


async def monthly(gateway: Gateway, datasource: str, count: int) -> Loaded:
    """An append to the month of January."""
    return await gateway.load(datasource, rows(count, step=31 * DAY // count))


async def test_loads_are_counted_together(gateway: Gateway, datasource: str) -> None:
    first, second = await monthly(gateway, datasource, 40), await monthly(gateway, datasource, 30)
    later = await gateway.load(datasource, rows(20, start=FEBRUARY))
    assert await gateway.counts(first, second, later) == [40, 30, 20]
    # Outside of the interval nothing is counted.
    one_day = pb.CountLoadsRequest(
        datasource=datasource,
        interval=pb.Interval(start_millis=JANUARY, end_millis=JANUARY + DAY),
        task_ids=[first.task_id, later.task_id],
        wait_ms=10_000,
    )
    answer = await gateway.stub.CountLoads(one_day)
    assert (answer.complete, [each.task_id for each in answer.loads]) == (True, [first.task_id])
    assert (await gateway.remove(first)).removed
    assert await gateway.counts(first, second, later) == [0, 30, 20]


async def test_what_was_compacted_together_and_appended_to_stays(
    gateway: Gateway, datasource: str
) -> None:
    four = [await monthly(gateway, datasource, count) for count in (100, 101, 102, 103)]
    await gateway.compacted(datasource, JANUARY, FEBRUARY, *four)
    fifth = await monthly(gateway, datasource, 27)
    before = set(await gateway.segments(datasource))
    for load in four:
        failure = await refusal(gateway, load)
        assert failure.code == "SHARED_SEGMENTS"
        assert set(failure.metadata["tasks"].split(",")) == {
            each.task_id for each in four if each is not load
        }
    assert await gateway.counts(*four, fifth) == [100, 101, 102, 103, 27]
    assert set(await gateway.segments(datasource)) == before
    # The one beside them can go.
    assert (await gateway.remove(fifth)).removed
    assert await gateway.counts(*four, fifth) == [100, 101, 102, 103, 0]


async def test_a_load_that_was_compacted_alone_goes_and_its_old_segments_do_not_come_back(
    gateway: Gateway, datasource: str
) -> None:
    load = await gateway.load(datasource, rows(60, step=DAY // 20))
    own = await gateway.segments(datasource)
    await gateway.compacted(datasource, JANUARY, FEBRUARY, load)
    assert (await gateway.remove(load, own=own)).removed
    assert await gateway.counts(load) == [0]
    assert await gateway.segments(datasource) == []


async def test_what_was_appended_beside_a_load_that_was_compacted_alone_stays(
    gateway: Gateway, datasource: str
) -> None:
    first = await monthly(gateway, datasource, 50)
    await gateway.compacted(datasource, JANUARY, FEBRUARY, first)
    later = await monthly(gateway, datasource, 20)
    failure = await refusal(gateway, first)
    assert (failure.code, failure.metadata["tasks"]) == ("NEWER_LOADS", later.task_id)
    assert await gateway.counts(first, later) == [50, 20]
    assert (await gateway.remove(later)).removed
    assert (await gateway.remove(first)).removed
    assert await gateway.counts(first, later) == [0, 0]


async def test_a_compaction_that_runs_is_not_undercut(gateway: Gateway, datasource: str) -> None:
    """It has read the rows, and would publish them after they were counted away."""
    first, second = await monthly(gateway, datasource, 50), await monthly(gateway, datasource, 20)
    async with druid_http.client(str(gateway.http.base_url), 10) as http:
        druid = druid_http.HttpDruid(http)
        task_id = await gateway.compact(datasource, JANUARY, FEBRUARY)
        async with asyncio.timeout(60):
            while not (
                writing := await druid.rewriting_tasks(
                    datasource, [Interval(JANUARY, JANUARY + DAY)]
                )
            ):
                assert await gateway.druid_status(task_id) == "RUNNING"
        assert writing == [task_id]
        assert await druid.rewriting_tasks(datasource, [Interval(FEBRUARY, FEBRUARY + DAY)]) == []
        with contextlib.suppress(grpc.RpcError):
            # Refused, or not yet removed where the compaction has ended in this moment.
            assert not (await gateway.remove(first, wait_ms=0)).removed

        async def has_ended() -> bool:
            return not await druid.rewriting_tasks(datasource, [Interval(JANUARY, FEBRUARY)])

        await until(has_ended)
    assert await gateway.counts(first, second) == [50, 20]
    assert (await refusal(gateway, first)).code == "SHARED_SEGMENTS"


async def test_own_segments_under_a_replace_do_not_come_back_with_what_it_replaced(
    gateway: Gateway, datasource: str
) -> None:
    """A load of two days, one of which was replaced, is removed, and after it the replace."""
    old = await gateway.load(datasource, rows(40, step=DAY // 20))
    own = await gateway.segments(datasource)
    assert len(own) == 2
    new = await gateway.load(datasource, rows(5), mode=LoadMode.LOAD_MODE_REPLACE)
    assert await gateway.counts(old, new) == [20, 5]
    assert (await gateway.remove(old, own=own)).removed
    assert await gateway.counts(old, new) == [0, 5]
    assert (await gateway.remove(new, undone=own)).removed
    assert await gateway.counts(old, new) == [0, 0]


async def test_a_load_whose_rows_were_compacted_before_it_was_counted_owns_no_shared_segment(
    gateway: Gateway, datasource: str
) -> None:
    first, second = await monthly(gateway, datasource, 50), await monthly(gateway, datasource, 20)
    assert len((await gateway.verify(second)).segments) == 1
    await gateway.compacted(datasource, JANUARY, FEBRUARY, first, second)
    seen = await gateway.verify(second)
    assert (seen.verified, list(seen.segments)) == (True, [])
