"""Submit, watch, verify and remove on a real Druid."""

import asyncio
import uuid

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import errors
from services.common.serving import channels
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1 import druid_pb2 as pb
from tests.integration.druid_gateway.loading import (
    COLUMNS,
    DAY,
    FEBRUARY,
    JANUARY,
    Gateway,
    as_csv,
    rows,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_load_is_submitted_watched_and_counted(gateway: Gateway, datasource: str) -> None:
    load = await gateway.submit(datasource, rows(1000))
    assert load.answer.druid_task_id == f"sluice-{load.task_id}-1"
    assert not load.answer.already_submitted
    assert load.answer.segment_granularity == "DAY"
    assert (load.answer.interval.start_millis, load.answer.interval.end_millis) == (
        JANUARY,
        JANUARY + DAY,
    )

    end = await gateway.watch(load)
    assert end.phase == pb.LOAD_PHASE_SUCCEEDED
    assert end.duration_ms > 0

    sums = [("n", load.sum_of(2)), ("v", load.sum_of(3))]
    seen = await gateway.verify(load, sums=sums)
    assert seen.verified
    assert seen.rows == 1000
    assert seen.segments_loaded_percent == 100.0
    assert list(seen.sums) == pytest.approx([sum_ for _, sum_ in sums], rel=1e-9)


async def test_what_druid_did_not_read_shows_in_its_success(
    gateway: Gateway, datasource: str
) -> None:
    """As where the object store's answer breaks off: Druid takes what came for the whole file."""
    data = rows(1000)
    whole = as_csv(["__time", *(name for name, _ in COLUMNS)], data)
    load = await gateway.submit(datasource, data, body=whole[: len(whole) // 3])
    end = await gateway.watch(load)
    assert end.phase == pb.LOAD_PHASE_SUCCEEDED
    assert 0 < end.rows_processed < len(data)
    seen = await gateway.verify(load, rows=end.rows_processed)
    assert seen.verified


async def test_a_wrong_count_or_sum_is_not_verified(gateway: Gateway, datasource: str) -> None:
    load = await gateway.load(datasource, rows(10))
    seen = await gateway.verify(load, rows=11, wait_ms=200)
    assert (seen.verified, seen.rows) == (False, 10)
    seen = await gateway.verify(load, sums=[("v", load.sum_of(3) * (1 + 1e-6))], wait_ms=0)
    assert (seen.verified, seen.rows) == (False, 10)
    seen = await gateway.verify(load, sums=[("no such column", 1.0)], wait_ms=0)
    assert not seen.verified


async def test_the_same_load_again_is_left_alone(gateway: Gateway, datasource: str) -> None:
    load = await gateway.submit(datasource, rows(100))
    again = await gateway.stub.SubmitLoad(load.request)
    assert again.already_submitted
    assert (await gateway.watch(load)).phase == pb.LOAD_PHASE_SUCCEEDED
    later = await gateway.stub.SubmitLoad(load.request)
    assert later.already_submitted
    assert later.interval == load.answer.interval
    assert (await gateway.verify(load)).verified


async def test_appends_add_up_and_the_first_can_be_removed(
    gateway: Gateway, datasource: str
) -> None:
    first = await gateway.load(datasource, rows(100))
    second, third = await asyncio.gather(
        gateway.load(datasource, rows(50)), gateway.load(datasource, rows(25, start=FEBRUARY))
    )
    assert await gateway.count(datasource) == 175
    for _ in range(2):
        left = await gateway.remove(first)
        assert (left.removed, left.rows_visible) == (True, 0)
    assert await gateway.count(datasource) == 75
    for load in (second, third):
        assert (await gateway.verify(load, wait_ms=0)).verified
    for load in (second, third):
        assert (await gateway.remove(load)).removed


async def test_replace_replaces_the_touched_chunks_alone(gateway: Gateway, datasource: str) -> None:
    await gateway.load(datasource, rows(10, start=JANUARY) + rows(10, start=JANUARY + 5 * DAY))
    # Day 0 and day 9: what is between keeps its rows.
    replacing = rows(3, start=JANUARY) + rows(3, start=JANUARY + 9 * DAY)
    new = await gateway.load(datasource, replacing, mode=LoadMode.LOAD_MODE_REPLACE)
    assert new.answer.segment_granularity == "DAY"
    found = await gateway.query(
        f"SELECT TIME_FLOOR(__time, 'P1D'), COUNT(*) FROM \"{datasource}\" GROUP BY 1 ORDER BY 1"
    )
    assert found.rows == [
        ["2020-01-01T00:00:00.000Z", 3],
        ["2020-01-06T00:00:00.000Z", 10],
        ["2020-01-10T00:00:00.000Z", 3],
    ]


@pytest.mark.parametrize("out_of_use", [False, True], ids=["at once", "later"])
async def test_a_removed_replace_brings_back_what_it_replaced(
    gateway: Gateway, datasource: str, out_of_use: bool
) -> None:
    await gateway.load(datasource, rows(10))
    undone = await gateway.load(datasource, rows(4))
    assert (await gateway.remove(undone)).removed
    replaced = await gateway.segments(datasource)
    replacing = await gateway.load(datasource, rows(5), mode=LoadMode.LOAD_MODE_REPLACE)
    if out_of_use:
        # What the coordinator does with replaced segments by itself, from 15 minutes after its
        # start on.
        marked = await gateway.http.post(
            f"/druid/coordinator/v1/datasources/{datasource}/markUnused",
            json={"segmentIds": replaced},
        )
        assert marked.json()["numChangedSegments"] == len(replaced) == 1
    for _ in range(2):
        assert (await gateway.remove(replacing)).removed
        assert await gateway.count(datasource) == 10


async def test_a_replace_under_later_appends_is_not_removed(
    gateway: Gateway, datasource: str
) -> None:
    replacing = await gateway.load(datasource, rows(5), mode=LoadMode.LOAD_MODE_REPLACE)
    later = await gateway.load(datasource, rows(3))
    with pytest.raises(grpc.RpcError) as refused:
        await gateway.remove(replacing)
    assert errors.from_rpc(refused.value, "druid_gateway").code == "NEWER_LOADS"
    assert await gateway.count(datasource) == 8
    assert (await gateway.remove(later)).removed
    assert (await gateway.remove(replacing)).removed


async def test_loads_of_other_granularities_share_a_datasource(
    gateway: Gateway, datasource: str
) -> None:
    day = await gateway.load(datasource, rows(10))
    month = await gateway.load(datasource, rows(100, start=JANUARY - 2 * DAY, step=DAY // 4))
    year = await gateway.load(datasource, rows(300, start=JANUARY - 40 * DAY, step=DAY))
    assert [load.answer.segment_granularity for load in (day, month, year)] == [
        "DAY",
        "MONTH",
        "YEAR",
    ]
    assert await gateway.count(datasource) == 410
    for load in (day, year, month):
        assert (await gateway.verify(load, sums=[("v", load.sum_of(3))], wait_ms=0)).verified
        assert (await gateway.remove(load)).removed


async def test_several_parts_are_one_load(gateway: Gateway, datasource: str) -> None:
    load = await gateway.load(datasource, rows(900), parts=3)
    assert (await gateway.verify(load, sums=[("v", load.sum_of(3))], wait_ms=0)).verified


async def test_a_running_load_is_removed(gateway: Gateway, datasource: str) -> None:
    await gateway.load(datasource, rows(7))
    load = await gateway.submit(datasource, rows(200_000, step=1000))
    async for news in gateway.stub.WatchLoad(
        pb.WatchLoadRequest(druid_task_id=load.answer.druid_task_id), timeout=60
    ):
        if news.phase == pb.LOAD_PHASE_RUNNING:
            break
    left = await gateway.remove(load)
    assert (left.removed, left.rows_visible) == (True, 0)
    end = await gateway.watch(load)
    assert end.phase == pb.LOAD_PHASE_FAILED
    assert "stopped" in end.problem.message
    assert await gateway.count(datasource) == 7


async def test_a_load_that_ended_unseen_is_removed(gateway: Gateway, datasource: str) -> None:
    load = await gateway.submit(datasource, rows(100))
    await gateway.watch(load)
    # Its segments may not be loaded yet.
    left = await gateway.remove(load)
    assert (left.removed, left.rows_visible) == (True, 0)
    assert not (await gateway.verify(load, wait_ms=1500)).verified


async def test_a_submit_that_comes_after_the_removal_loads_nothing(
    gateway: Gateway, datasource: str
) -> None:
    load = await gateway.submit(datasource, rows(10))
    late = pb.SubmitLoadRequest()
    late.CopyFrom(load.request)
    late.attempt = 2
    removal = pb.RemoveLoadRequest(
        task_id=load.task_id,
        datasource=datasource,
        druid_task_ids=[load.answer.druid_task_id, f"sluice-{load.task_id}-2"],
        wait_ms=30_000,
    )
    assert (await gateway.stub.RemoveLoad(removal)).removed
    # From a worker that was frozen between its decision and its call.
    assert (await gateway.stub.SubmitLoad(late)).already_submitted
    end = [
        each
        async for each in gateway.stub.WatchLoad(
            pb.WatchLoadRequest(druid_task_id=f"sluice-{load.task_id}-2"), timeout=60
        )
    ][-1]
    assert end.phase == pb.LOAD_PHASE_FAILED
    assert (await gateway.stub.RemoveLoad(removal)).removed


async def test_nothing_to_remove(gateway: Gateway, datasource: str) -> None:
    nothing = pb.RemoveLoadRequest(
        task_id=str(uuid.uuid4()),
        datasource=datasource,
        druid_task_ids=[f"sluice-{datasource}-1"],
        wait_ms=5000,
    )
    assert (await gateway.stub.RemoveLoad(nothing)).removed
    await gateway.load(datasource, rows(5))
    assert (await gateway.stub.RemoveLoad(nothing)).removed
    assert await gateway.count(datasource) == 5


async def test_an_unknown_load_is_called_unknown(gateway: Gateway) -> None:
    news = [
        each
        async for each in gateway.stub.WatchLoad(
            pb.WatchLoadRequest(druid_task_id="sluice-never-1"), timeout=20
        )
    ]
    assert [each.phase for each in news] == [pb.LOAD_PHASE_UNKNOWN]


async def test_a_row_that_druid_cannot_read_fails_the_load_in_plain_words(
    gateway: Gateway, datasource: str
) -> None:
    broken = b'__time,city,n,v\n1577836800000,Wien,1,1.5\nnot-a-time,"Linz",2,2.5\n'
    load = await gateway.submit(datasource, rows(2), body=broken)
    end = await gateway.watch(load)
    assert end.phase == pb.LOAD_PHASE_FAILED
    assert errors.code_of(end.problem.code) == "DRUID_TASK_FAILED"
    assert "could not read a row" in end.problem.message
    assert "X-Amz-Signature=" not in end.problem.value
    assert (await gateway.remove(load)).removed


async def test_texts_are_stored_as_they_are(gateway: Gateway, datasource: str) -> None:
    texts = [
        "a\x01b",
        "[1,2]",
        "{}",
        "007",
        "NaN",
        "null",
        " blank ",
        "quote\"'",
        "💧",
        "\\",
        "",
        None,
    ]
    await gateway.load(datasource, [(JANUARY + i, text, i, 0.5) for i, text in enumerate(texts)])
    found = await gateway.query(f'SELECT "city" FROM "{datasource}" ORDER BY __time')
    assert [row[0] for row in found.rows] == texts


async def test_hostile_column_names(gateway: Gateway, datasource: str) -> None:
    names = [
        'say "hi"',
        "'; DROP TABLE x --",
        "select",
        "größe",
        "/* x */",
        "$.x[0]",
        "Count",
        "count",
        " ",
    ]
    columns = [(name, pb.STORAGE_TYPE_DOUBLE) for name in names]
    data = [(JANUARY + i, *(float(i * 10 + j) for j in range(len(names)))) for i in range(20)]
    load = await gateway.load(datasource, data, columns=columns)
    sums = [(name, load.sum_of(1 + i)) for i, name in enumerate(names)]
    assert (await gateway.verify(load, sums=sums)).verified


async def test_a_column_that_is_text_elsewhere_can_still_be_summed(
    gateway: Gateway, datasource: str
) -> None:
    text = [
        ("city", pb.STORAGE_TYPE_STRING),
        ("n", pb.STORAGE_TYPE_STRING),
        ("v", pb.STORAGE_TYPE_STRING),
    ]
    await gateway.load(datasource, [(JANUARY, "Wien", "many", "few")], columns=text)
    load = await gateway.load(datasource, rows(100))
    assert (
        await gateway.verify(load, sums=[("n", load.sum_of(2)), ("v", load.sum_of(3))])
    ).verified


@pytest.mark.parametrize("name", ["a/b", "../x", "a b", ".hidden", "x;y", 'q"', "ü\n"])
async def test_hostile_datasource_names(gateway: Gateway, name: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await gateway.submit(name, rows(1), store=False)
    assert (
        errors.from_rpc(refused.value, "druid_gateway").reason
        == ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID
    )


async def test_column_names_that_cannot_be(gateway: Gateway, datasource: str) -> None:
    long, text = pb.STORAGE_TYPE_LONG, pb.STORAGE_TYPE_STRING
    for columns in (
        [("a,b", long)],
        [("a\n", long)],
        [("__time", long)],
        [("__load_id", text)],
        [COLUMNS[0], COLUMNS[0]],
    ):
        with pytest.raises(grpc.RpcError) as refused:
            await gateway.submit(datasource, rows(1), columns=columns, store=False)
        assert (
            errors.from_rpc(refused.value, "druid_gateway").reason
            == ErrorReason.ERROR_REASON_REQUEST_INVALID
        )


async def test_a_datasource_that_was_dropped_by_hand_is_not_waited_for(
    gateway: Gateway, datasource: str
) -> None:
    load = await gateway.load(datasource, rows(50))
    (
        await gateway.http.delete(f"/druid/coordinator/v1/datasources/{datasource}")
    ).raise_for_status()
    async with asyncio.timeout(20):
        while (
            seen := await gateway.verify(load, wait_ms=200)
        ).rows or seen.segments_loaded_percent < 100:
            assert not seen.verified or seen.rows == 50
    assert (seen.verified, list(seen.segments)) == (False, [])


async def test_the_service_becomes_ready(gateway: Gateway) -> None:
    channel = channels.connect(f"127.0.0.1:{gateway.port}")
    try:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=20
        )
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
        pytest.fail("the service never became ready")
    finally:
        await channel.close()
