"""Proposes starter queries for a datasource, based on its columns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.druid_gateway.loads.load import Interval
from services.druid_gateway.loads.spec import LOAD_ID_COLUMN, TIME_COLUMN
from services.druid_gateway.ports import Druid
from services.druid_gateway.queries.catalog import Description, describe
from services.druid_gateway.queries.datasource_sizes import DatasourceSizes
from services.druid_gateway.queries.sql_text import identifier

MAX_CATEGORIES = 20
"""Maximum number of text columns whose distinct values are counted."""

TOP = 10

_AMOUNT = re.compile(
    "revenue|sales|amount|total|profit|turnover|cost|quantity|qty|units|count", re.IGNORECASE
)
_NEVER_SUMMED = re.compile(
    r"(?<![a-z])(id|no|nr|number|code|zip|postal|postcode|year|month|day|lat|lon|latitude|longitude|price|rate|discount|percent|share)(?![a-z])",
    re.IGNORECASE,
)

_PERIODS = (
    (2 * 86_400_000, "PT1H", "hour"),
    (93 * 86_400_000, "P1D", "day"),
    (5 * 366 * 86_400_000, "P1M", "month"),
)
"""Maximum time span in milliseconds, and the period that makes a readable chart of it."""


@dataclass(frozen=True)
class Proposal:
    """A query to propose. `chart`: line or bar."""

    title: str
    sql: str
    chart: str


async def propose(druid: Druid, sizes: DatasourceSizes, name: str) -> list[Proposal]:
    """Propose rows over time, the top values of a category and the sum of a measure, as far as the
    columns allow.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID, DATASOURCE_NOT_FOUND, DRUID_UNAVAILABLE.
    """
    found = await describe(druid, sizes, name)
    source, time = identifier(name), identifier(TIME_COLUMN)
    period, unit = _period(found.datasource.interval)
    floor = f"TIME_FLOOR({time}, '{period}')"
    proposals = [
        Proposal(
            f"Rows per {unit}",
            f'SELECT {floor} AS "{unit}", COUNT(*) AS "rows"\nFROM {source}\nGROUP BY 1\nORDER BY 1',
            "line",
        )
    ]
    category, measure = await _category(druid, found), _measure(found.columns)
    if category:
        column = identifier(category)
        proposals.append(
            Proposal(
                f"Top {TOP} of {category}",
                f'SELECT {column}, COUNT(*) AS "rows"\nFROM {source}\nGROUP BY 1\nORDER BY 2 DESC\nLIMIT {TOP}',
                "bar",
            )
        )
    if measure:
        column = identifier(measure)
        along, order, chart = (
            (identifier(category), "2 DESC", "bar")
            if category
            else (f'{floor} AS "{unit}"', "1", "line")
        )
        sql = f"SELECT {along}, SUM({column}) AS {identifier(f'sum of {measure}')}\nFROM {source}\nGROUP BY 1\nORDER BY {order}"
        proposals.append(
            Proposal(
                f"Sum of {measure} per {category or unit}",
                f"{sql}\nLIMIT {TOP}" if category else sql,
                chart,
            )
        )
    return proposals


def _period(interval: Interval) -> tuple[str, str]:
    span = interval.end_millis - interval.start_millis
    return next(
        ((period, unit) for max_span, period, unit in _PERIODS if span <= max_span), ("P1Y", "year")
    )


async def _category(druid: Druid, found: Description) -> str | None:
    """Return the text column with the fewest distinct values, but more than one; None if each has
    almost as many values as rows.
    """
    texts = [name for name, kind in found.columns if kind == "VARCHAR" and name != LOAD_ID_COLUMN][
        :MAX_CATEGORIES
    ]
    if not texts:
        return None
    counts = ", ".join(f"APPROX_COUNT_DISTINCT({identifier(name)})" for name in texts)
    rows = await druid.sql(f"SELECT {counts} FROM {identifier(found.datasource.name)}", [])  # noqa: S608 - names are quoted
    distinct = (
        dict(zip(texts, map(int, (each or 0 for each in rows[0])), strict=True)) if rows else {}
    )
    candidates = [
        name
        for name, values in distinct.items()
        if 1 < values <= max(2, found.datasource.rows // 2)
    ]
    return min(candidates, key=lambda name: distinct[name], default=None)


def _measure(columns: Sequence[tuple[str, str]]) -> str | None:
    """Return the numeric column whose sum is most useful: one named like an amount, otherwise one
    not named like a price or a key; decimals before integers.
    """
    numbers = [
        name for wanted in ("DOUBLE", "FLOAT", "BIGINT") for name, kind in columns if kind == wanted
    ]
    additive = [name for name in numbers if not _NEVER_SUMMED.search(name)]
    named = (name for name in additive if _AMOUNT.search(name))
    return next(named, None) or next(iter(additive or numbers), None)
