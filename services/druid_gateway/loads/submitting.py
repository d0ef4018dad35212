"""Handing a load to Druid."""

from dataclasses import dataclass

from services.common import errors
from services.common.s3 import split_uri
from services.common.timing import Timings
from services.druid_gateway.loads import granularity, spec
from services.druid_gateway.loads.granularity import Granularity
from services.druid_gateway.loads.load import Interval, Load
from services.druid_gateway.loads.targeting import target
from services.druid_gateway.ports import Druid, InputSource
from sluice.common.v1.errors_pb2 import ErrorReason

INPUT_GRACE_S = 15 * 60
"""How long Druid can read the parts after the load's deadline."""


@dataclass(frozen=True)
class Submitted:
    """Where the load's rows go. `new`: False where Druid knew the load already."""

    new: bool
    interval: Interval
    granularity: Granularity


async def submit(druid: Druid, inputs: InputSource, load: Load, deadline_s: int) -> Submitted:
    """Submits the load under its fixed id; harmless to repeat.

    Raises:
        SluiceError: REQUEST_INVALID, DATASOURCE_NAME_INVALID, ROWS_OUTSIDE_INTERVAL,
            DRUID_UNAVAILABLE, DRUID_NO_CAPACITY, DRUID_SPEC_REFUSED.
    """
    _check(load)
    timings = Timings()
    aim = await target(druid, load)
    with timings.step("capacity"):
        slots = (
            await druid.free_slots()
            if load.rows >= spec.PARALLEL_FROM_ROWS and len(load.parts) > 1
            else None
        )
    concurrency = spec.sub_tasks(len(load.parts), load.rows, slots)
    with timings.step("sign"):
        source = await inputs.of(load.parts, deadline_s + INPUT_GRACE_S)
    with timings.step("submit"):
        new = await druid.submit(
            spec.build(load, aim.granularity, aim.interval, source, concurrency)
        )
    timings.log(
        "load.submitted",
        druid_task_id=load.druid_task_id,
        datasource=load.datasource,
        mode=load.mode.value,
        new=new,
        rows=load.rows,
        parts=len(load.parts),
        sub_tasks=concurrency,
        granularity=aim.granularity.value,
        interval=granularity.iso_interval(aim.interval),
    )
    return Submitted(new, aim.interval, aim.granularity)


def _check(load: Load) -> None:
    for part in load.parts:
        try:
            split_uri(part.uri)
        except ValueError as failure:
            raise errors.error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID,
                "A part's address is not s3://bucket/key.",
                column="parts",
                value=part.uri,
            ) from failure
