"""Rows of other loads that would disappear together with a load's segments."""

from collections.abc import Collection

from services.common import errors, logs
from services.druid_gateway.ports import Druid
from services.druid_gateway.removing.segment_ids import chunk, hull, intervals
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_NAMED = 100
"""Maximum number of loads in an error's metadata."""


async def check_removable(
    druid: Druid, datasource: str, load_id: str, segments: Collection[str]
) -> None:
    """Check that only rows of the load disappear if the segments become unused.

    Raises:
        SluiceError: SHARED_SEGMENTS if they also have rows of other loads, for example after a
            compaction; NEWER_LOADS if other loads were appended to time chunks whose core segments
            they are, because queries see the appended ones only together with the core;
            DRUID_UNAVAILABLE.
    """
    if not segments:
        return
    interval = hull(intervals(datasource, segments))
    used = await druid.used_segments(datasource, interval)
    removable = [each for each in segments if each in used]
    available = [each for each in removable if used[each]]
    if shared := await _others_in(druid, datasource, load_id, available):
        raise _shared(datasource, shared)
    chunks = {chunk(datasource, each) for each in removable}
    neighbors = [each for each in used.keys() - set(segments) if chunk(datasource, each) in chunks]
    if not neighbors:
        return
    core = await druid.core_segments(datasource, interval)
    core_chunks = {chunk(datasource, each) for each in removable if each in core}
    if appended := [each for each in neighbors if chunk(datasource, each) in core_chunks]:
        loads = sorted(await druid.loads_in_segments(datasource, sorted(appended)))
        raise _appended(datasource, loads, len(appended))


async def unshared(
    druid: Druid, datasource: str, load_id: str, segments: Collection[str]
) -> list[str]:
    """Return the segments that only have rows of the load.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    if not await _others_in(druid, datasource, load_id, segments):
        return sorted(segments)
    return [
        each
        for each in sorted(segments)
        if not await _others_in(druid, datasource, load_id, [each])
    ]


async def _others_in(
    druid: Druid, datasource: str, load_id: str, segments: Collection[str]
) -> list[str]:
    """List the other loads with rows in the segments."""
    loads = await druid.loads_in_segments(datasource, sorted(segments)) if segments else {}
    return sorted(loads.keys() - {load_id})


def _shared(datasource: str, others: list[str]) -> errors.SluiceError:
    logs.get().warning("load.segments_shared", datasource=datasource, loads=len(others))
    message = (
        f"The load's segments also have rows of {_named(others)}, as after a compaction in Druid. "
        "Those rows would disappear as well."
    )
    return errors.error(
        ErrorReason.ERROR_REASON_SHARED_SEGMENTS,
        message,
        value=len(others),
        metadata=_metadata(others),
    )


def _appended(datasource: str, loads: list[str], segments: int) -> errors.SluiceError:
    logs.get().warning("load.not_removable", datasource=datasource, others=segments)
    message = (
        f"Rows of {_named(loads)} were appended to the load's segments. Without these segments, "
        "they would disappear from queries as well."
    )
    return errors.error(ErrorReason.ERROR_REASON_NEWER_LOADS, message, metadata=_metadata(loads))


def _named(loads: list[str]) -> str:
    """Name the loads. The empty id stands for rows of other programs."""
    known = sum(1 for each in loads if each)
    names = [] if loads == [""] else ["another load" if known == 1 else f"{known:,} other loads"]
    return " and of ".join([*names, "other programs"] if "" in loads else names)


def _metadata(loads: list[str]) -> dict[str, str]:
    return {"tasks": ",".join([each for each in loads if each][:MAX_NAMED])}
