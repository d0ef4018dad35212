"""Rows of other loads that would disappear together with a load's segments."""

from collections.abc import Collection, Iterable, Mapping

from services.common import errors, logs
from services.druid_gateway.ports import Druid
from services.druid_gateway.removing.segment_ids import chunk, hull, intervals
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_NAMED = 100
"""Loads that an error's metadata names."""


async def check_alone(
    druid: Druid, datasource: str, load_id: str, segments: Collection[str]
) -> None:
    """Returns where nothing but rows of the load disappears when the segments are taken out of use.

    Raises:
        SluiceError: SHARED_SEGMENTS where they hold rows of other loads, as after a compaction;
            NEWER_LOADS where others were appended to chunks of which they are the core: queries see
            those only together with the core. DRUID_UNAVAILABLE.
    """
    where = hull(intervals(datasource, segments))
    if where is None:
        return
    there = await druid.used_segments(datasource, where)
    going = [each for each in segments if each in there]
    reached = [each for each in going if there[each]]
    if shared := _others(await _loads_in(druid, datasource, reached), load_id):
        raise _shared(datasource, shared)
    chunks = {chunk(datasource, each) for each in going}
    beside = [each for each in there.keys() - set(segments) if chunk(datasource, each) in chunks]
    if not beside:
        return
    core = await druid.core_segments(datasource, where)
    hiding = {chunk(datasource, each) for each in going if each in core}
    if hidden := [each for each in beside if chunk(datasource, each) in hiding]:
        raise _appended(datasource, await _loads_in(druid, datasource, hidden), len(hidden))


async def unshared(
    druid: Druid, datasource: str, load_id: str, segments: Collection[str]
) -> list[str]:
    """Those of the segments that hold rows of the load alone.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    if not _others(await _loads_in(druid, datasource, segments), load_id):
        return sorted(segments)
    each_with = [(each, await _loads_in(druid, datasource, [each])) for each in sorted(segments)]
    return [each for each, loads in each_with if not _others(loads, load_id)]


async def _loads_in(druid: Druid, datasource: str, segments: Collection[str]) -> Mapping[str, int]:
    return await druid.loads_in_segments(datasource, sorted(segments)) if segments else {}


def _others(loads: Iterable[str], load_id: str) -> list[str]:
    return sorted(each for each in loads if each != load_id)


def _shared(datasource: str, others: list[str]) -> errors.SluiceError:
    logs.get().warning("load.segments_shared", datasource=datasource, loads=len(others))
    message = f"Its segments hold rows of {_loads(others)} too, as after a compaction in Druid: "
    message += "they would disappear with its own."
    reason = ErrorReason.ERROR_REASON_SHARED_SEGMENTS
    return errors.error(reason, message, value=len(others), metadata=_named(others))


def _appended(datasource: str, loads: Iterable[str], segments: int) -> errors.SluiceError:
    others = sorted(loads)
    logs.get().warning("load.not_removable", datasource=datasource, others=segments)
    message = (
        f"The rows of {_loads(others)} were appended to its segments: without them they would "
    )
    message += "disappear from queries too."
    return errors.error(ErrorReason.ERROR_REASON_NEWER_LOADS, message, metadata=_named(others))


def _loads(ids: list[str]) -> str:
    """Rows that no load brought have the empty id."""
    known = sum(1 for each in ids if each)
    counted = "another load" if known == 1 else f"{known:,} other loads"
    return (
        counted
        if known == len(ids)
        else f"{counted} and of other programs"
        if known
        else "other programs"
    )


def _named(ids: list[str]) -> dict[str, str]:
    return {"tasks": ",".join([each for each in ids if each][:MAX_NAMED])}
