"""Number styles: decimal and thousands separators, currency and percent signs."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from sluice.validation.v1.validation_pb2 import ReadOptions

MAX_INTEGER = 10**15
"""Integers have at most 15 digits: a DOUBLE cannot hold more, and spreadsheets round them."""
BLANK = " "
_BLANKS = "[ \u00a0\u202f]"
_NOT_A_NUMBER = r"^[+-]?(?:0\d|\d{16,}$|\d+[eE]\d)"
_CURRENCY = r"(?:[$€£¥₹]|[A-Z]{3})"
_SIGNED = re.compile(
    rf"^[+-]?\s?({_CURRENCY})?\s?[+-]?[\d.,'\s\u00a0\u202f]*\d\s?({_CURRENCY})?(\s?%)?$"
)
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
"""The separator may be for thousands or for decimals."""


@dataclass(frozen=True)
class NumberStyle:
    """The notation of the numbers of a column."""

    decimal_mark: str = "."
    thousands_mark: str = ""
    currencies: tuple[str, ...] = ()
    """Symbols and codes before or after the numbers, the most frequent first."""
    percent: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the notation is that of programming languages."""
        return (
            self.decimal_mark == "."
            and not self.thousands_mark
            and not self.currencies
            and not self.percent
        )

    def plain(self, value: pl.Expr) -> pl.Expr:
        """The number in plain notation; null if the text does not match this style.

        A plain style does not check the text.
        """
        if self.is_plain:
            return value
        decimal, thousands = (
            re.escape(self.decimal_mark),
            _BLANKS if self.thousands_mark == BLANK else re.escape(self.thousands_mark),
        )
        grouped = (
            rf"\d{{1,3}}(?:{thousands}\d{{3}})+(?:{decimal}\d+)?|" if self.thousands_mark else ""
        )
        sign = rf"(?:{_CURRENCY})?" if self.currencies else ""
        percent = r"(?:\s?%)?" if self.percent else ""
        shape = rf"^[+-]?\s?{sign}\s?[+-]?(?:{grouped}\d+(?:{decimal}\d+)?|{decimal}\d+)\s?{sign}{percent}$"
        digits = value.str.replace_all(rf"[^\d{decimal}+-]", "")
        if self.decimal_mark == ",":
            digits = digits.str.replace(",", ".", literal=True)
        return pl.when(value.str.contains(shape)).then(digits)

    def integer(self, value: pl.Expr) -> pl.Expr:
        """The text as an integer, or null."""
        plain = self.plain(value)
        number = plain.cast(pl.Int64, strict=False)
        length = plain.str.len_bytes()
        leading_zero = (plain.str.starts_with("0") & (length > 1)) | (
            (plain.str.starts_with("-0") | plain.str.starts_with("+0")) & (length > 2)
        )
        return pl.when(number.abs().lt(MAX_INTEGER) & leading_zero.not_()).then(number)

    def decimal(self, value: pl.Expr) -> pl.Expr:
        """The text as a number, or null."""
        plain = self.plain(value)
        number = plain.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite() & plain.str.contains(_NOT_A_NUMBER).not_()).then(number)


PLAIN = NumberStyle()


def candidate_styles(values: Sequence[str], options: ReadOptions) -> list[NumberStyle]:
    """Styles that most of the sampled values fit, the likeliest first; else the plain style."""
    tried = (
        values
        if options.decimal_mark or options.thousands_mark
        else [value for value in values if not _is_plain(value)]
    )
    if not tried:
        # Points may separate thousands. Then other columns of the file have decimal commas.
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
    for decimal, thousands in _separators(tried, options):
        style = NumberStyle(decimal, thousands, signs, percent)
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


def _separators(values: Sequence[str], options: ReadOptions) -> Iterator[tuple[str, str]]:
    """Pairs of decimal and thousands separator that occur in the values."""
    text = "".join(values)
    for decimal, others in ((".", (",", BLANK, "'")), (",", (".", BLANK, "'"))):
        if options.decimal_mark and options.decimal_mark != decimal:
            continue
        if options.thousands_mark:
            if options.thousands_mark != decimal:
                yield decimal, options.thousands_mark
            continue
        yield decimal, ""
        for thousands in others:
            if thousands in text or (thousands == BLANK and re.search("[\u00a0\u202f]", text)):
                yield decimal, thousands


def choose_style(
    styles: Sequence[NumberStyle], fits: Sequence[int], decimal_separators: "Counter[str]"
) -> tuple[NumberStyle, bool]:
    """The style that most values fit, and whether its separators are assumed.

    If several styles fit equally, the decimal separator of the file's other columns decides. If
    that does not help, the likeliest style is assumed. `fits`: values that parse, per style.
    """
    best = max(fits)
    equal = [style for style, count in zip(styles, fits, strict=True) if count == best]
    separators = {style.decimal_mark for style in equal}
    votes = decimal_separators.most_common(1)
    if len(separators) > 1 and votes and votes[0][0] in separators:
        return next(style for style in equal if style.decimal_mark == votes[0][0]), False
    return equal[0], len(separators) > 1 and not equal[0].is_plain
