"""What a segment's id tells: `{datasource}_{start}_{end}_{version}[_{partition}]`."""

from collections.abc import Iterable
from typing import Any

from services.common import errors
from services.druid_gateway.loads.granularity import clipped_millis_of
from services.druid_gateway.loads.load import Interval
from sluice.common.v1.errors_pb2 import ErrorReason


def chunk(datasource: str, segment_id: str) -> tuple[str, ...]:
    """Start, end and version: the segments of one chunk that came, or were appended, together share
    them.
    """
    return tuple(segment_id.removeprefix(f"{datasource}_").split("_")[:3])


def interval(datasource: str, segment_id: str) -> Interval:
    """The stretch of time that the segment belongs to."""
    start, end, _ = chunk(datasource, segment_id)
    return Interval(clipped_millis_of(start), clipped_millis_of(end))


def check(datasource: str, segment_ids: Iterable[str]) -> None:
    """Raises REQUEST_INVALID unless all of them have the parts of a segment's id."""
    for segment_id in segment_ids:
        if len(chunk(datasource, segment_id)) < 3:
            text = "This is not the id of a segment."
            raise errors.error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID,
                text,
                column="segment_ids",
                value=segment_id,
            )


def intervals(datasource: str, segment_ids: Iterable[str]) -> set[Interval]:
    """The stretches of time that the segments belong to."""
    return {interval(datasource, each) for each in segment_ids}


def descriptor(datasource: str, segment_id: str) -> dict[str, Any]:
    """How a native query names a single segment."""
    start, end, version = chunk(datasource, segment_id)
    _, _, partition = segment_id.removeprefix(f"{datasource}_{start}_{end}_{version}").partition(
        "_"
    )
    return {"itvl": f"{start}/{end}", "ver": version, "part": int(partition or 0)}


def hull(intervals: Iterable[Interval]) -> Interval | None:
    """The smallest interval that has all of them in it; None of none."""
    every = list(intervals)
    return (
        Interval(min(each.start_millis for each in every), max(each.end_millis for each in every))
        if every
        else None
    )
