"""What a load would do, before it does anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.druid_gateway import granularity, spec
from services.druid_gateway.granularity import Granularity
from services.druid_gateway.loads import Interval, Load, Mode
from services.druid_gateway.ports import Druid


@dataclass(frozen=True)
class Plan:
    """Where the rows go, and the segments in use whose rows they replace."""

    interval: Interval
    granularity: Granularity
    replaced: Sequence[str]


async def plan(druid: Druid, load: Load) -> Plan:
    """The plan of a load.

    Raises:
        SluiceError: REQUEST_INVALID, DATASOURCE_NAME_INVALID, DRUID_UNAVAILABLE.
    """
    spec.check_names(load)
    chosen = granularity.choose(load.mode, load.rows, load.min_millis, load.max_millis)
    interval = granularity.align(chosen, load.min_millis, load.max_millis)
    replaced: list[str] = []
    if load.mode is Mode.REPLACE:
        replaced = sorted(await druid.used_segments(load.datasource, interval))
    return Plan(interval, chosen, replaced)
