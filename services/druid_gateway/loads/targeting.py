"""Where the rows of a load go, and what stretch of time it replaces."""

from dataclasses import dataclass

from services.common import errors
from services.druid_gateway.loads import granularity, spec
from services.druid_gateway.loads.granularity import EARLIEST_MILLIS, LATEST_MILLIS, Granularity
from services.druid_gateway.loads.load import Interval, Load, Mode
from services.druid_gateway.ports import Druid
from services.druid_gateway.removing.segment_ids import hull, interval
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_CHUNKS = 1_000
"""Chunks of a given stretch, or of one with older chunks in it: Druid lists each, and hides each
that a replace leaves empty behind a segment of its own.
"""

_ALL_TIME = Interval(EARLIEST_MILLIS, LATEST_MILLIS + 1)


@dataclass(frozen=True)
class Target:
    """`interval`: whole chunks of `granularity`."""

    interval: Interval
    granularity: Granularity


async def target(druid: Druid, load: Load) -> Target:
    """The target of a load.

    Raises:
        SluiceError: REQUEST_INVALID, DATASOURCE_NAME_INVALID, ROWS_OUTSIDE_INTERVAL,
        DRUID_UNAVAILABLE.
    """
    spec.check_names(load)
    match load.mode:
        case Mode.REPLACE_INTERVAL:
            return _given(load)
        case Mode.REPLACE_ALL:
            rows = Interval(load.min_millis, load.max_millis + 1)
            there = (
                [load.replace]
                if load.replace
                else [interval(load.datasource, each) for each in await _everything(druid, load)]
            )
            return _fitting(load, hull([rows, *there]) or rows)
        case Mode.APPEND:
            return await _beside(
                druid, load, _fitting(load, Interval(load.min_millis, load.max_millis + 1))
            )
        case Mode.REPLACE:
            return _fitting(load, Interval(load.min_millis, load.max_millis + 1))


async def _beside(druid: Druid, load: Load, aim: Target) -> Target:
    """The target of an append among the chunks that are there. Druid adds rows to the chunk that
    their time is in, and a load that has locked but a part of that chunk gets no place in it: a
    day's rows after a load in months would all fail.
    """
    there = [
        interval(load.datasource, each)
        for each in await druid.used_segments(load.datasource, aim.interval)
    ]
    span = hull([aim.interval, *there]) or aim.interval
    first, last = span.start_millis, span.end_millis - 1
    coarser = list(Granularity)[list(Granularity).index(aim.granularity) :]
    chosen = next(
        (each for each in coarser if granularity.chunks(each, first, last) <= MAX_CHUNKS),
        Granularity.YEAR,
    )
    return Target(granularity.align(chosen, first, last), chosen)


async def _everything(druid: Druid, load: Load) -> dict[str, bool]:
    return await druid.used_segments(load.datasource, _ALL_TIME)


def _fitting(load: Load, span: Interval) -> Target:
    chosen = granularity.choose(load.mode, load.rows, span.start_millis, span.end_millis - 1)
    return Target(granularity.align(chosen, span.start_millis, span.end_millis - 1), chosen)


def _given(load: Load) -> Target:
    """The stretch as it is given: in chunks as for any load, or finer ones where it ends in the
    middle of one.
    """
    given = load.replace
    if given is None or given.start_millis >= given.end_millis:
        raise _invalid("There is no stretch of time to replace.")
    if load.min_millis < given.start_millis or load.max_millis >= given.end_millis:
        outside = load.min_millis if load.min_millis < given.start_millis else load.max_millis
        message = f"The file has rows from {granularity.iso(load.min_millis)} to {granularity.iso(load.max_millis)}; that is more than is "
        message += f"replaced, {granularity.iso_interval(given)}."
        raise errors.error(
            ErrorReason.ERROR_REASON_ROWS_OUTSIDE_INTERVAL, message, value=granularity.iso(outside)
        )
    wanted = granularity.choose(load.mode, load.rows, given.start_millis, given.end_millis - 1)
    finer = list(Granularity)[list(Granularity).index(wanted) :: -1]
    for each in finer:
        if granularity.align(each, given.start_millis, given.end_millis - 1) == given:
            if granularity.chunks(each, given.start_millis, given.end_millis - 1) > MAX_CHUNKS:
                break
            return Target(given, each)
    raise _invalid(
        f"So long a stretch can only be replaced by whole days, months or years: {granularity.iso_interval(given)}."
    )


def _invalid(message: str) -> errors.SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_REQUEST_INVALID, message, column="replace")
