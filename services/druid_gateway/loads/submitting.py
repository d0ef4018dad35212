"""Submits loads to Druid."""

from dataclasses import dataclass

from services.common.s3 import split_uri
from services.common.timing import Timings
from services.druid_gateway.loads import granularity, spec
from services.druid_gateway.loads.granularity import Granularity
from services.druid_gateway.loads.load import Interval, Load
from services.druid_gateway.loads.targeting import choose_target
from services.druid_gateway.ports import Druid, InputSource

INPUT_GRACE_S = 15 * 60
"""How long after the load's deadline Druid can still read the parts."""


@dataclass(frozen=True)
class Submitted:
    """A submitted load. `new`: False if Druid already knew it; `interval`: the time chunks of its
    rows."""

    new: bool
    interval: Interval
    granularity: Granularity


async def submit(druid: Druid, inputs: InputSource, load: Load, deadline_s: int) -> Submitted:
    """Submit a load with its fixed id. Idempotent.

    Raises:
        SluiceError: REQUEST_INVALID, DATASOURCE_NAME_INVALID, ROWS_OUTSIDE_INTERVAL,
            DRUID_UNAVAILABLE, DRUID_NO_CAPACITY, DRUID_SPEC_REFUSED.
    """
    _check_parts(load)
    timings = Timings()
    target = await choose_target(druid, load)
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
            spec.build(load, target.granularity, target.interval, source, concurrency)
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
        granularity=target.granularity.value,
        interval=granularity.iso_interval(target.interval),
    )
    return Submitted(new, target.interval, target.granularity)


def _check_parts(load: Load) -> None:
    for part in load.parts:
        try:
            split_uri(part.uri)
        except ValueError as failure:
            raise spec.invalid(
                "parts", "A part's URI is not s3://bucket/key.", part.uri
            ) from failure
