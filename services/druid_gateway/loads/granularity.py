"""How long the time chunks are that a load's segments belong to.

The finest of HOUR, DAY, MONTH, YEAR is taken that cuts the load's span into no more chunks than the
rows are worth:

- one chunk for each 50,000 rows, at most 100: hundreds of small segments make a load and every
  later query slow (two years in DAY = 730 segments load three times slower than in MONTH);
- an append may always have 4, as each makes a small segment; a replace 12, so that a small one
  touches the days or months that it is about, not a whole year. HOUR is not among these: hours only
  pay where each has rows enough;
- YEAR where nothing finer fits.

No chunk makes a huge segment: Druid starts a new one after MAX_ROWS_PER_SEGMENT rows.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum

from services.druid_gateway.loads.load import Interval, Mode

ROWS_PER_CHUNK = 50_000
MAX_CHUNKS = 100
FREE_CHUNKS = {Mode.APPEND: 4, Mode.REPLACE: 12, Mode.REPLACE_INTERVAL: 12, Mode.REPLACE_ALL: 12}
MAX_ROWS_PER_SEGMENT = 5_000_000

EARLIEST_MILLIS = -62_135_596_800_000
"""0001-01-01T00:00:00Z."""
LATEST_MILLIS = 253_370_764_799_999
"""The last millisecond of the year 9998, so that the first moment after any chunk has a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Granularity(Enum):
    """Druid's names, finest first."""

    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"


def choose(mode: Mode, rows: int, min_millis: int, max_millis: int) -> Granularity:
    """The granularity of a load of `rows` rows whose times are min_millis to max_millis, both
    included.
    """
    worth = min(MAX_CHUNKS, rows // ROWS_PER_CHUNK)
    for granularity in Granularity:
        allowed = worth if granularity is Granularity.HOUR else max(FREE_CHUNKS[mode], worth)
        if chunks(granularity, min_millis, max_millis) <= allowed:
            return granularity
    return Granularity.YEAR


def chunks(granularity: Granularity, min_millis: int, max_millis: int) -> int:
    """Number of chunks that the span touches."""
    first, last = _moment(min_millis), _moment(max_millis)
    match granularity:
        case Granularity.HOUR:
            return (_floor(granularity, last) - _floor(granularity, first)) // timedelta(
                hours=1
            ) + 1
        case Granularity.DAY:
            return (_floor(granularity, last) - _floor(granularity, first)).days + 1
        case Granularity.MONTH:
            return (last.year - first.year) * 12 + last.month - first.month + 1
        case Granularity.YEAR:
            return last.year - first.year + 1


def align(granularity: Granularity, min_millis: int, max_millis: int) -> Interval:
    """The whole chunks that the span touches."""
    start = _floor(granularity, _moment(min_millis))
    end = _next(granularity, _floor(granularity, _moment(max_millis)))
    return Interval(_millis(start), _millis(end))


def iso(millis: int) -> str:
    """ISO 8601 in UTC, for example 2019-01-03T00:00:00.000Z."""
    return _moment(millis).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_interval(interval: Interval) -> str:
    """start/end as Druid writes it."""
    return f"{iso(interval.start_millis)}/{iso(interval.end_millis)}"


def millis_of(text: str) -> int:
    """Milliseconds of a moment as `iso` writes it."""
    return _millis(datetime.fromisoformat(text))


def clipped_millis_of(text: str) -> int:
    """The same of any moment that Druid knows; those outside of the years 1 to 9998 become the
    nearest inside.
    """
    try:
        return min(max(millis_of(text), EARLIEST_MILLIS), LATEST_MILLIS + 1)
    except ValueError:
        return EARLIEST_MILLIS if text.startswith("-") else LATEST_MILLIS + 1


def _moment(millis: int) -> datetime:
    return _EPOCH + millis * _MILLISECOND


def _millis(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _floor(granularity: Granularity, moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    match granularity:
        case Granularity.HOUR:
            return hour
        case Granularity.DAY:
            return hour.replace(hour=0)
        case Granularity.MONTH:
            return hour.replace(hour=0, day=1)
        case Granularity.YEAR:
            return hour.replace(hour=0, day=1, month=1)


def _next(granularity: Granularity, start: datetime) -> datetime:
    match granularity:
        case Granularity.HOUR:
            return start + timedelta(hours=1)
        case Granularity.DAY:
            return start + timedelta(days=1)
        case Granularity.MONTH:
            return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        case Granularity.YEAR:
            return start.replace(year=start.year + 1)
