"""Segment granularity of a load, and times as Druid writes them.

The granularity is the finest of HOUR, DAY, MONTH and YEAR that divides the load into no more time
chunks than allowed:

- One chunk per 50,000 rows, at most 100. Hundreds of small segments slow down the load and every
  later query: two years in DAY (730 segments) load three times slower than in MONTH.
- An append may always have 4 chunks, since each makes a small segment. A replace may have 12, so
  that a small one affects its own days or months, not a whole year. This does not include HOUR,
  which only pays off if each hour has enough rows.
- YEAR if nothing finer fits.

A long chunk does not make a huge segment: Druid starts a new one after MAX_ROWS_PER_SEGMENT rows.
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
"""The last millisecond of the year 9998, so that the end of every time chunk is a valid date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Granularity(Enum):
    """Segment granularities by Druid's names, finest first."""

    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"


def choose(mode: Mode, rows: int, min_millis: int, max_millis: int) -> Granularity:
    """Choose the granularity of a load whose rows have times from min_millis to max_millis, both
    inclusive.
    """
    for_rows = min(MAX_CHUNKS, rows // ROWS_PER_CHUNK)
    for granularity in Granularity:
        allowed = for_rows if granularity is Granularity.HOUR else max(FREE_CHUNKS[mode], for_rows)
        if chunks(granularity, min_millis, max_millis) <= allowed:
            return granularity
    return Granularity.YEAR


def chunks(granularity: Granularity, min_millis: int, max_millis: int) -> int:
    """Count the time chunks that overlap min_millis to max_millis, both inclusive."""
    first, last = (_floor(granularity, _datetime(each)) for each in (min_millis, max_millis))
    match granularity:
        case Granularity.HOUR:
            return (last - first) // timedelta(hours=1) + 1
        case Granularity.DAY:
            return (last - first).days + 1
        case Granularity.MONTH:
            return (last.year - first.year) * 12 + last.month - first.month + 1
        case Granularity.YEAR:
            return last.year - first.year + 1


def align(granularity: Granularity, min_millis: int, max_millis: int) -> Interval:
    """Return the time chunks that overlap min_millis to max_millis, both inclusive."""
    start = _floor(granularity, _datetime(min_millis))
    end = _next(granularity, _floor(granularity, _datetime(max_millis)))
    return Interval(_millis(start), _millis(end))


def iso(millis: int) -> str:
    """Format a time as ISO 8601 in UTC, for example 2019-01-03T00:00:00.000Z."""
    return _datetime(millis).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_interval(interval: Interval) -> str:
    """Format an interval as Druid does: start/end."""
    return f"{iso(interval.start_millis)}/{iso(interval.end_millis)}"


def millis_of(text: str) -> int:
    """Parse a time in the format of `iso`, to milliseconds."""
    return _millis(datetime.fromisoformat(text))


def _clipped_millis(text: str) -> int:
    """Parse a time of Druid, whose years are not limited to 1 to 9998."""
    try:
        return min(max(millis_of(text), EARLIEST_MILLIS), LATEST_MILLIS + 1)
    except ValueError:
        return EARLIEST_MILLIS if text.startswith("-") else LATEST_MILLIS + 1


def parse_interval(text: str) -> Interval:
    """Parse an interval of Druid, clipped to the years 1 to 9998."""
    start, _, end = text.partition("/")
    return Interval(_clipped_millis(start), _clipped_millis(end))


def _datetime(millis: int) -> datetime:
    return _EPOCH + millis * _MILLISECOND


def _millis(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND


def _floor(granularity: Granularity, time: datetime) -> datetime:
    hour = time.replace(minute=0, second=0, microsecond=0)
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
