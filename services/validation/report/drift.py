"""Drift of a file from the last load of its datasource, and the datasource's contract.

Both use only the report, after the file is read. Only `left_out` applies while reading.
"""

from collections.abc import Iterator, Mapping, Sequence

from services.common import errors
from services.validation.columns.names import TIME
from services.validation.report import policy
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    Column,
    ColumnType,
    Contract,
    ContractMode,
    Drift,
    DriftKind,
    KnownColumn,
    LoadType,
    Report,
    Verdict,
)

SHIFTED = 0.25
"""Distance between distributions, 0 to 1, above which a column is shifted."""
NULL_SHARE = 0.1
"""Difference between shares of nulls above which a column is shifted."""
ENOUGH_VALUES = 100
"""Values that a distribution needs at least."""
DECILES = [number / 10 for number in range(1, 10)]

_BREAKS = {
    ContractMode.CONTRACT_MODE_FREEZE: {
        DriftKind.DRIFT_KIND_ADDED,
        DriftKind.DRIFT_KIND_MISSING,
        DriftKind.DRIFT_KIND_RETYPED,
    },
    ContractMode.CONTRACT_MODE_DISCARD: {DriftKind.DRIFT_KIND_RETYPED},
}
_DESCRIPTIONS = {
    DriftKind.DRIFT_KIND_ADDED: "is new",
    DriftKind.DRIFT_KIND_MISSING: "is missing",
    DriftKind.DRIFT_KIND_RETYPED: "was {before} and is {now}",
    DriftKind.DRIFT_KIND_SHIFTED: "has a different distribution ({before} before, {now} now)",
}


def left_out(contract: Contract, names: Sequence[str]) -> frozenset[int]:
    """Positions of the columns that the contract leaves out: those not in the last load."""
    if contract.mode != ContractMode.CONTRACT_MODE_DISCARD or not contract.task_id:
        return frozenset()
    known = {column.name for column in contract.columns}
    return frozenset(
        position for position, name in enumerate(names) if name not in known and name != TIME
    )


def compare(report: Report, contract: Contract) -> None:
    """Adds the drift from the last load to the report. Rejects the file if it breaks the contract."""
    if not contract.task_id or report.rejects_of or not report.columns:
        return
    report.compared_with = contract.task_id
    report.drift.extend(_drift(report.columns, contract.columns))
    forbidden = _BREAKS.get(contract.mode, set())
    broken = [
        _problem(drift, ErrorReason.ERROR_REASON_CONTRACT_BROKEN)
        for drift in report.drift
        if drift.kind in forbidden
    ]
    allowed = [
        _problem(drift, _warning_reason(drift))
        for drift in report.drift
        if drift.kind not in forbidden
    ]
    if not broken or report.verdict == Verdict.VERDICT_REJECTED:
        report.problems.extend([*broken, *allowed])
        return
    policy.reject(report, broken)
    problems = [*broken, *report.problems, *allowed]
    del report.problems[:], report.parts[:]
    report.problems.extend(problems)


def _warning_reason(drift: Drift) -> "ErrorReason.ValueType":
    if drift.kind == DriftKind.DRIFT_KIND_SHIFTED:
        return ErrorReason.ERROR_REASON_DISTRIBUTION_SHIFTED
    return ErrorReason.ERROR_REASON_COLUMNS_CHANGED


def _problem(drift: Drift, reason: "ErrorReason.ValueType") -> Problem:
    change = _DESCRIPTIONS[drift.kind].format(before=drift.before, now=drift.now)
    value = round(drift.score, 3) if drift.score else ""
    return errors.problem(
        reason,
        f"{drift.column!r} {change}, compared with the last load.",
        column=drift.column,
        value=value,
    )


def _drift(columns: Sequence[Column], before: Sequence[KnownColumn]) -> Iterator[Drift]:
    known = {column.name: column for column in before}
    now = {
        column.name: column
        for column in columns
        if column.load_type != LoadType.LOAD_TYPE_UNSPECIFIED
    }
    for name, last in known.items():
        if name not in now:
            yield Drift(kind=DriftKind.DRIFT_KIND_MISSING, column=name, before=_type(last.type))
    for name, column in now.items():
        if name not in known:
            yield Drift(kind=DriftKind.DRIFT_KIND_ADDED, column=name, now=_type(column.type))
            continue
        last = known[name]
        # A column without values has no type.
        if last.load_type != column.load_type and column.sample_values and last.sample_values:
            yield Drift(
                kind=DriftKind.DRIFT_KIND_RETYPED,
                column=name,
                before=_type(last.type),
                now=_type(column.type),
            )
        elif name != TIME:
            yield from _shifted(last, column)


def _type(kind: "ColumnType.ValueType") -> str:
    return ColumnType.Name(kind).removeprefix("COLUMN_TYPE_").lower()


def _shifted(last: KnownColumn, column: Column) -> Iterator[Drift]:
    def drift(score: float, before: str, now: str) -> Drift:
        return Drift(
            kind=DriftKind.DRIFT_KIND_SHIFTED,
            column=column.name,
            before=before,
            now=now,
            score=score,
        )

    rows = column.nulls + column.fitting + column.misfits
    nulls = column.nulls / rows if rows else 0.0
    if abs(nulls - last.null_share) > NULL_SHARE:
        yield drift(
            abs(nulls - last.null_share), f"{last.null_share:.1%} empty", f"{nulls:.1%} empty"
        )
    if min(last.sample_values, column.sample_values) < ENOUGH_VALUES:
        return
    quantiles = {quantile.share: quantile.value for quantile in column.quantiles}
    deciles = [quantiles[share] for share in DECILES if share in quantiles]
    if last.deciles and len(deciles) == len(last.deciles):
        score = _distance(last.deciles, deciles)
        if score > SHIFTED:
            yield drift(score, f"median {last.deciles[4]:g}", f"median {deciles[4]:g}")
        return
    before = {top.value: top.count / last.sample_values for top in last.top_values}
    now = {top.value: top.count / column.sample_values for top in column.top_values}
    score = max(_moved_share(before, now), _moved_share(now, before))
    if score > SHIFTED:
        most = max(
            {**now, **before}, key=lambda value: abs(before.get(value, 0.0) - now.get(value, 0.0))
        )
        yield drift(
            score,
            f"{most!r} in {before.get(most, 0.0):.0%}",
            f"{most!r} in {now.get(most, 0.0):.0%}",
        )


def _distance(before: Sequence[float], now: Sequence[float]) -> float:
    """Mean distance between the deciles, as a share of their overall range.

    Works for few distinct values as well as for many.
    """
    overall = max(before[-1], now[-1]) - min(before[0], now[0])
    return (
        sum(abs(one - other) for one, other in zip(before, now, strict=True))
        / len(before)
        / overall
        if overall
        else 0.0
    )


def _moved_share(source: Mapping[str, float], to: Mapping[str, float]) -> float:
    """Share of the values that are less frequent in `to`.

    A value that is not among the top values of `to` may be as frequent as the last of them.
    """
    least = min(to.values(), default=0.0)
    return sum(max(0.0, share - to.get(value, least)) for value, share in source.items())
