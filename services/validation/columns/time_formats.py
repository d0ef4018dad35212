"""Formats of dates and times: detection and parsing.

Formats use the directives of strptime and two of chrono: `%.f` (fraction of a second with its
point) and `%#z` (zone as Z or offset). Times without a zone are in UTC.
"""

import re
from dataclasses import dataclass

import polars as pl

from services.validation.reading.faults import FileFault
from sluice.common.v1.errors_pb2 import ErrorReason

EPOCH_SECONDS = "%s"
EPOCH_MILLIS = "%s%3f"
COMPACT_DATE = "%Y%m%d"

_FIRST, _END = (
    pl.lit(-30_610_224_000_000_000, dtype=pl.Int64).cast(pl.Datetime("us")),
    pl.lit(253_402_300_800_000_000, dtype=pl.Int64).cast(pl.Datetime("us")),
)
"""The years 1000 to 9999."""
_EPOCH_RANGE_S = (10**8, 10**10)
"""Epoch seconds from 1973 to 2286; other numbers are not times."""

_DATE = re.compile(
    r"""(?x)^(?:
      (?P<ymd>\d{4}(?P<sep1>[-/.])\d{1,2}(?P=sep1)\d{1,2})
    | (?P<dmy>\d{1,2}(?P<sep2>[-/.])\d{1,2}(?P=sep2)(?P<year>\d{4}|\d{2}))
    | (?P<compact>\d{8})
    | (?P<day_name>\d{1,2}(?P<sep3>[-\s/.])(?P<month3>[A-Za-z]{3,9})(?P=sep3)(?P<year3>\d{4}|\d{2}))
    | (?P<name_day>(?P<month4>[A-Za-z]{3,9})\s\d{1,2}(?P<comma>,?)\s(?P<year4>\d{4}))
    )(?P<rest>.*)$"""
)
_CLOCK = re.compile(
    r"""(?x)^(?P<gap>T|\s)(?P<hour>\d{1,2}):\d{2}(?P<seconds>:\d{2}(?P<fraction>\.\d{1,9})?)?
    (?P<half>\s?[AaPp]\.?[Mm]\.?)?(?P<zone_gap>\s?)(?P<zone>Z|[+-]\d{2}:?\d{2})?$"""
)


@dataclass(frozen=True)
class TimeFormat:
    """A format of dates or times."""

    format: str
    has_clock: bool
    day_first: bool | None = None
    """Whether the day precedes the month; None if the format is unambiguous."""

    @property
    def other_order(self) -> "TimeFormat | None":
        """The format with day and month exchanged; None if it is unambiguous."""
        if self.day_first is None:
            return None
        swapped = self.format.replace("%d", "%D").replace("%m", "%d").replace("%D", "%m")
        return TimeFormat(swapped, self.has_clock, not self.day_first)

    @property
    def strptime(self) -> str:
        """The format in the directives of Python's strptime, for display."""
        return self.format.replace("%.f", ".%f").replace("%#z", "%z")

    def time(self, value: pl.Expr) -> pl.Expr:
        """The text as a UTC time in microseconds; null if it does not match the format."""
        if self.is_epoch:
            per_second = 1 if self.format == EPOCH_SECONDS else 1000
            number = value.cast(pl.Int64, strict=False)
            in_range = number.is_between(
                _EPOCH_RANGE_S[0] * per_second, _EPOCH_RANGE_S[1] * per_second, closed="left"
            )
            return (
                pl.when(in_range).then(number * (1_000_000 // per_second)).cast(pl.Datetime("us"))
            )
        if self.has_zone:
            time = value.str.to_datetime(
                self.format, strict=False, time_unit="us", time_zone="UTC"
            ).dt.replace_time_zone(None)
        elif self.has_clock:
            # Times rarely repeat, so the cache costs more than it saves.
            time = value.str.to_datetime(self.format, strict=False, time_unit="us", cache=False)
        else:
            time = value.str.to_date(self.format, strict=False).cast(pl.Datetime("us"))
        if self.format == COMPACT_DATE:
            time = pl.when(value.str.len_bytes() == 8).then(time)
        # %Y also reads years of one or two digits; these values have another format.
        return pl.when(time.is_between(_FIRST, _END, closed="left")).then(time)

    def to_text(self, time: pl.Expr) -> pl.Expr:
        """A time as ISO 8601 text with the precision of the format."""
        if not self.has_clock:
            return time.dt.strftime("%Y-%m-%d")
        fraction = "%.f" if "%.f" in self.format or self.format == EPOCH_MILLIS else ""
        zone = "Z" if self.has_zone or self.is_epoch else ""
        return time.dt.strftime(f"%Y-%m-%dT%H:%M:%S{fraction}{zone}")

    @property
    def has_zone(self) -> bool:
        """Whether the values have a zone."""
        return self.format.endswith("%#z")

    @property
    def is_epoch(self) -> bool:
        """Whether the values are seconds or milliseconds since 1970."""
        return self.format in (EPOCH_SECONDS, EPOCH_MILLIS)


def specified_format(text: str) -> TimeFormat:
    """The format that a sender specified in the directives of strptime.

    Raises:
        FileFault: OPTION_MISFIT: it is not a valid format.
    """
    format = TimeFormat(
        text.replace(".%f", "%.f").replace("%z", "%#z"),
        has_clock=any(letter in text for letter in ("%H", "%I", "%s")),
    )
    try:
        sample = pl.select(
            pl.lit("x").str.to_datetime(
                format.format,
                strict=False,
                time_unit="us",
                time_zone="UTC" if format.has_zone else None,
            )
        )
        usable = sample.height == 1 and "%" in text
    except pl.exceptions.PolarsError:
        usable = False
    if not usable:
        raise FileFault(
            ErrorReason.ERROR_REASON_OPTION_MISFIT,
            f"{text!r} is not a valid time format.",
            value="time_format",
        )
    return format


def candidate_formats(text: str, *, named_like_time: bool) -> list[TimeFormat]:
    """Formats that one value may have.

    Plain numbers are times only in a column that is `named_like_time`.
    """
    if named_like_time and text.isascii() and text.isdigit():
        if len(text) == 8:
            return [TimeFormat(COMPACT_DATE, has_clock=False)]
        number = int(text[:20])
        if _EPOCH_RANGE_S[0] <= number < _EPOCH_RANGE_S[1]:
            return [TimeFormat(EPOCH_SECONDS, has_clock=True)]
        if _EPOCH_RANGE_S[0] * 1000 <= number < _EPOCH_RANGE_S[1] * 1000:
            return [TimeFormat(EPOCH_MILLIS, has_clock=True)]
        return []
    match = _DATE.match(text)
    if match is None:
        return []
    rest = match["rest"]
    clock = _clock(rest) if rest else ""
    if clock is None or (match["compact"] and rest and rest[0] != "T"):
        return []
    return [
        TimeFormat(date + clock, bool(clock), day_first)
        for date, day_first in _dates(match, bool(clock) or named_like_time)
    ]


def _dates(match: "re.Match[str]", is_time: bool) -> list[tuple[str, bool | None]]:
    if match["ymd"]:
        separator = match["sep1"]
        return [(f"%Y{separator}%m{separator}%d", None)]
    if match["dmy"]:
        separator = match["sep2"]
        year = "%Y" if len(match["year"]) == 4 else "%y"
        day_first = (f"%d{separator}%m{separator}{year}", True)
        # Dates with dots always begin with the day.
        return (
            [(day_first[0], None)]
            if separator == "."
            else [day_first, (f"%m{separator}%d{separator}{year}", False)]
        )
    if match["compact"]:
        return [(COMPACT_DATE, None)] if is_time else []
    if match["day_name"]:
        separator = " " if match["sep3"].isspace() else match["sep3"]
        year = "%Y" if len(match["year3"]) == 4 else "%y"
        return [(f"%d{separator}{_month(match['month3'])}{separator}{year}", None)]
    return [(f"{_month(match['month4'])} %d{match['comma']} %Y", None)]


def _month(name: str) -> str:
    return "%b" if len(name) == 3 else "%B"


def _clock(rest: str) -> str | None:
    match = _CLOCK.match(rest)
    if match is None:
        return None
    half = match["half"]
    if half and "." in half:
        return None
    gap = "T" if match["gap"] == "T" else " "
    hours = "%I:%M" if half else "%H:%M"
    seconds = ":%S" if match["seconds"] else ""
    fraction = "%.f" if match["fraction"] else ""
    suffix = f"{' ' if half[0].isspace() else ''}%p" if half else ""
    zone = f"{' ' if match['zone_gap'] else ''}%#z" if match["zone"] else ""
    return gap + hours + seconds + fraction + suffix + zone
