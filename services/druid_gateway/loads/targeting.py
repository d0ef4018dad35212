"""Chooses the interval and the segment granularity of a load, and so what it replaces."""

from dataclasses import dataclass

from services.common import errors
from services.druid_gateway.loads import granularity, spec
from services.druid_gateway.loads.granularity import EARLIEST_MILLIS, LATEST_MILLIS, Granularity
from services.druid_gateway.loads.load import Interval, Load, Mode
from services.druid_gateway.ports import Druid
from services.druid_gateway.removing.segment_ids import hull, intervals
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_CHUNKS = 1_000
"""Maximum number of time chunks in a specified interval, or in one widened by older chunks. Druid
lists each chunk, and hides each one that a replace empties behind a segment.
"""

_ALL_TIME = Interval(EARLIEST_MILLIS, LATEST_MILLIS + 1)


@dataclass(frozen=True)
class Target:
    """Where a load writes. `interval` consists of whole time chunks of `granularity`."""

    interval: Interval
    granularity: Granularity


async def choose_target(druid: Druid, load: Load) -> Target:
    """Choose the target of a load.

    Raises:
        SluiceError: REQUEST_INVALID, DATASOURCE_NAME_INVALID, ROWS_OUTSIDE_INTERVAL,
            DRUID_UNAVAILABLE.
    """
    spec.check_names(load)
    match load.mode:
        case Mode.REPLACE_INTERVAL:
            return _specified(load)
        case Mode.REPLACE_ALL:
            existing = (
                {load.replace} if load.replace else await _used_intervals(druid, load, _ALL_TIME)
            )
            return _aligned(load, hull([load.times, *existing]))
        case Mode.APPEND:
            return await _next_to_existing(druid, load, _aligned(load, load.times))
        case Mode.REPLACE:
            return _aligned(load, load.times)


async def _next_to_existing(druid: Druid, load: Load, target: Target) -> Target:
    """Widen the target of an append to the existing time chunks. Druid adds rows to the existing
    chunk of their time, and fails if the load has locked only a part of that chunk: a day's rows
    after a load in months, for example.
    """
    span = hull([target.interval, *await _used_intervals(druid, load, target.interval)])
    first, last = span.start_millis, span.end_millis - 1
    coarser = list(Granularity)[list(Granularity).index(target.granularity) :]
    chosen = next(
        (each for each in coarser if granularity.chunks(each, first, last) <= MAX_CHUNKS),
        Granularity.YEAR,
    )
    return Target(granularity.align(chosen, first, last), chosen)


async def _used_intervals(druid: Druid, load: Load, within: Interval) -> set[Interval]:
    return intervals(load.datasource, await druid.used_segments(load.datasource, within))


def _aligned(load: Load, span: Interval) -> Target:
    chosen = granularity.choose(load.mode, load.rows, span.start_millis, span.end_millis - 1)
    return Target(granularity.align(chosen, span.start_millis, span.end_millis - 1), chosen)


def _specified(load: Load) -> Target:
    """Return the specified interval with the granularity of any load, or a finer one if the
    interval ends within a time chunk.
    """
    specified = load.replace
    if specified is None or specified.start_millis >= specified.end_millis:
        raise spec.invalid("replace", "The interval to replace is missing or empty.")
    if load.min_millis < specified.start_millis or load.max_millis >= specified.end_millis:
        outside = load.min_millis if load.min_millis < specified.start_millis else load.max_millis
        message = (
            f"The file has rows from {granularity.iso(load.min_millis)} to {granularity.iso(load.max_millis)}, "
            f"outside the replaced interval {granularity.iso_interval(specified)}."
        )
        raise errors.error(
            ErrorReason.ERROR_REASON_ROWS_OUTSIDE_INTERVAL, message, value=granularity.iso(outside)
        )
    first, last = specified.start_millis, specified.end_millis - 1
    wanted = granularity.choose(load.mode, load.rows, first, last)
    for each in list(Granularity)[list(Granularity).index(wanted) :: -1]:
        if granularity.align(each, first, last) == specified:
            if granularity.chunks(each, first, last) > MAX_CHUNKS:
                break
            return Target(specified, each)
    raise spec.invalid(
        "replace",
        "An interval of this length can only be replaced in whole days, months or years: "
        f"{granularity.iso_interval(specified)}.",
    )
