"""Parser of segment ids: `{datasource}_{start}_{end}_{version}[_{partition}]`."""

from collections.abc import Collection, Iterable
from typing import Any

from services.druid_gateway.loads.granularity import parse_interval
from services.druid_gateway.loads.load import Interval
from services.druid_gateway.loads.spec import invalid


def chunk(datasource: str, segment_id: str) -> tuple[str, ...]:
    """Return start, end and version, which all segments of one version of a time chunk share."""
    return tuple(segment_id.removeprefix(f"{datasource}_").split("_")[:3])


def interval(datasource: str, segment_id: str) -> Interval:
    """Return the time chunk of a segment."""
    start, end, _ = chunk(datasource, segment_id)
    return parse_interval(f"{start}/{end}")


def check(datasource: str, segment_ids: Iterable[str]) -> None:
    """Raise REQUEST_INVALID if one of them is not the id of a segment."""
    for segment_id in segment_ids:
        if len(chunk(datasource, segment_id)) < 3:
            raise invalid("segment_ids", "This is not a segment id.", segment_id)


def intervals(datasource: str, segment_ids: Iterable[str]) -> set[Interval]:
    """Return the time chunks of the segments."""
    return {interval(datasource, each) for each in segment_ids}


def descriptor(datasource: str, segment_id: str) -> dict[str, Any]:
    """Return the descriptor by which a native query selects the segment."""
    start, end, version = chunk(datasource, segment_id)
    _, _, partition = segment_id.removeprefix(f"{datasource}_{start}_{end}_{version}").partition(
        "_"
    )
    return {"itvl": f"{start}/{end}", "ver": version, "part": int(partition or 0)}


def hull(intervals: Collection[Interval]) -> Interval:
    """Return the smallest interval that contains all of the intervals, at least one."""
    return Interval(
        min(each.start_millis for each in intervals), max(each.end_millis for each in intervals)
    )
