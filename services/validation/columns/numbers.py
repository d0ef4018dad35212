"""How numbers are written, and what they are worth: decimal comma, marks between thousands,
currency and percent signs.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from sluice.validation.v1.validation_pb2 import ReadOptions

MAX_INTEGER = 10**15
"""Whole numbers have at most 15 digits: more do not survive a DOUBLE, and spreadsheets round
them.
"""
BLANK = " "
_BLANKS = "[ \u00a0\u202f]"
_NOT_A_NUMBER = r"^[+-]?(?:0\d|\d{16,}$|\d+[eE]\d)"
_CURRENCY = r"(?:[$€£¥₹]|[A-Z]{3})"
_SIGNED = re.compile(
    rf"^[+-]?\s?({_CURRENCY})?\s?[+-]?[\d.,'\s\u00a0\u202f]*\d\s?({_CURRENCY})?(\s?%)?$"
)
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
"""May be a number of thousands, or one with three digits after its mark."""


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written."""

    decimal_mark: str = "."
    thousands_mark: str = ""
    currencies: tuple[str, ...] = ()
    """Signs and codes beside the numbers, the most frequent first."""
    percent: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the numbers are written as programs write them."""
        return (
            self.decimal_mark == "."
            and not self.thousands_mark
            and not self.currencies
            and not self.percent
        )

    def plain(self, value: pl.Expr) -> pl.Expr:
        """The number in plain notation; null where the text is none in this style."""
        if self.is_plain:
            return value
        mark, between = (
            re.escape(self.decimal_mark),
            _BLANKS if self.thousands_mark == BLANK else re.escape(self.thousands_mark),
        )
        grouped = rf"\d{{1,3}}(?:{between}\d{{3}})+(?:{mark}\d+)?|" if self.thousands_mark else ""
        sign = rf"(?:{_CURRENCY})?" if self.currencies else ""
        percent = r"(?:\s?%)?" if self.percent else ""
        shape = (
            rf"^[+-]?\s?{sign}\s?[+-]?(?:{grouped}\d+(?:{mark}\d+)?|{mark}\d+)\s?{sign}{percent}$"
        )
        digits = value.str.replace_all(rf"[^\d{mark}+-]", "")
        if self.decimal_mark == ",":
            digits = digits.str.replace(",", ".", literal=True)
        return pl.when(value.str.contains(shape)).then(digits)

    def integer(self, value: pl.Expr) -> pl.Expr:
        """The whole number, or null."""
        plain = self.plain(value)
        number = plain.cast(pl.Int64, strict=False)
        length = plain.str.len_bytes()
        leading_zero = (plain.str.starts_with("0") & (length > 1)) | (
            (plain.str.starts_with("-0") | plain.str.starts_with("+0")) & (length > 2)
        )
        return pl.when(number.abs().lt(MAX_INTEGER) & leading_zero.not_()).then(number)

    def decimal(self, value: pl.Expr) -> pl.Expr:
        """The number, or null."""
        plain = self.plain(value)
        number = plain.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite() & plain.str.contains(_NOT_A_NUMBER).not_()).then(number)


PLAIN = NumberStyle()


def styles_of(values: Sequence[str], options: ReadOptions) -> list[NumberStyle]:
    """Styles worth testing, the likelier first, told from some values of a column. The plain one
    where there is no sign of another.
    """
    tried = (
        values
        if options.decimal_mark or options.thousands_mark
        else [value for value in values if not _is_plain(value)]
    )
    if not tried:
        # Points may be marks between thousands: then other columns of the file have decimal commas.
        pointed = [value for value in values if "." in value]
        ambiguous = bool(pointed) and all(_AMBIGUOUS.fullmatch(value) for value in pointed)
        return [PLAIN, NumberStyle(",", ".")] if ambiguous else [PLAIN]
    currencies: Counter[str] = Counter()
    percent = False
    for value in tried:
        if match := _SIGNED.match(value):
            currencies.update(sign for sign in match.groups()[:2] if sign)
            percent = percent or bool(match[3])
    signs = tuple(sign for sign, _ in currencies.most_common())
    scored = []
    for mark, between in _marks(tried, options):
        style = NumberStyle(mark, between, signs, percent)
        fits = pl.DataFrame({"v": values}).select(style.decimal(pl.col("v")).count()).item()
        scored.append((fits, style))
    best = max((fits for fits, _ in scored), default=0)
    found = [style for fits, style in scored if fits == best and best]
    return found or [PLAIN]


def _is_plain(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return not _AMBIGUOUS.fullmatch(value) or "." in value


def _marks(values: Sequence[str], options: ReadOptions) -> Iterator[tuple[str, str]]:
    """Pairs of decimal mark and mark between thousands that the values have signs of."""
    text = "".join(values)
    for mark, others in ((".", (",", BLANK, "'")), (",", (".", BLANK, "'"))):
        if options.decimal_mark and options.decimal_mark != mark:
            continue
        if options.thousands_mark:
            if options.thousands_mark != mark:
                yield mark, options.thousands_mark
            continue
        yield mark, ""
        for other in others:
            if other in text or (other == BLANK and re.search("[\u00a0\u202f]", text)):
                yield mark, other


def settle(
    styles: Sequence[NumberStyle], fits: Sequence[int], decimal_marks: "Counter[str]"
) -> tuple[NumberStyle, bool]:
    """The style that the most of all values fit, and whether its marks were assumed: where several
    do as well, the marks of the file's other columns tell, and where these do not either, the
    likelier one is taken.
    """
    best = max(fits)
    able = [style for style, count in zip(styles, fits, strict=True) if count == best]
    marks = {style.decimal_mark for style in able}
    votes = decimal_marks.most_common(1)
    if len(marks) > 1 and votes and votes[0][0] in marks:
        return next(style for style in able if style.decimal_mark == votes[0][0]), False
    return able[0], len(marks) > 1 and not able[0].is_plain
