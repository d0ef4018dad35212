"""What a file has to be: the rules with their defaults, and how a file comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common import errors
from services.validation.columns.column_types import ColumnFacts, named_like_time
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    OnMisfit,
    Policy,
    ReadOptions,
    Rule,
    RuleOutcome,
    Severity,
)

DEFAULT_TYPE_SHARE = 0.95
DEFAULT_NULL_TOKENS = ("", "NULL", "N/A", "#N/A")
"""Also in small letters. A quoted empty value is the empty value: spreadsheets quote at will."""

DEFAULT_LIMITS: dict[str, float | None] = {
    "min_columns": 5,
    "time_column": None,
    "min_numeric_columns": 2,
    "max_null_share": 0.8,
    "max_reject_share": 0.05,
}
"""The rules, with their limits where they have one. All of them block by default."""


@dataclass(frozen=True)
class Found:
    """What the rules are judged on."""

    columns: Sequence[ColumnFacts]
    rows: int
    """Rows that are not blank."""
    rejected: int
    time_is_said: bool = False
    """Whether who sends the file named the column of the time: then its name need not."""


class UnknownRuleError(ValueError):
    """A policy names a rule that does not exist."""


def type_share(policy: Policy) -> float:
    """Share of a column's values that must fit its type."""
    return policy.type_share if policy.HasField("type_share") else DEFAULT_TYPE_SHARE


def null_tokens(policy: Policy, options: ReadOptions) -> Sequence[str]:
    """Values that mean "nothing": the sender's, else the policy's, else the defaults."""
    return list(options.null_tokens) or list(policy.null_tokens) or DEFAULT_NULL_TOKENS


def on_misfit(policy: Policy) -> "OnMisfit.ValueType":
    """What happens to values that do not fit."""
    return policy.on_misfit or OnMisfit.ON_MISFIT_REJECT_ROW


def rules(policy: Policy, options: ReadOptions) -> list[Rule]:
    """All rules, with the severities and limits that hold: the sender's for this file, over the
    policy's, over the defaults.

    Raises:
        UnknownRuleError: one is named that does not exist.
    """
    held = {
        name: Rule(name=name, severity=Severity.SEVERITY_BLOCK, limit=limit)
        for name, limit in DEFAULT_LIMITS.items()
    }
    for rule in [*policy.rules, *options.rules]:
        if rule.name not in held:
            raise UnknownRuleError(
                f"There is no rule {rule.name!r}; the rules are {', '.join(held)}."
            )
        if rule.severity:
            held[rule.name].severity = rule.severity
        if rule.HasField("limit"):
            held[rule.name].limit = rule.limit
    return list(held.values())


def needs_time_name(held: Sequence[Rule]) -> bool:
    """Whether only a column with a time-like name may be the time column."""
    return any(
        rule.name == "time_column" and rule.severity == Severity.SEVERITY_BLOCK for rule in held
    )


def judge(held: Sequence[Rule], found: Found) -> list[RuleOutcome]:
    """The outcome of every rule that is not off."""
    return [
        _JUDGES[rule.name](rule, found) for rule in held if rule.severity != Severity.SEVERITY_OFF
    ]


def _outcome(rule: Rule, found: float, problems: list[Problem]) -> RuleOutcome:
    return RuleOutcome(rule=rule, passed=not problems, found=found, problems=problems)


def _min_columns(rule: Rule, found: Found) -> RuleOutcome:
    count = len(found.columns)
    if count >= rule.limit:
        return _outcome(rule, count, [])
    return _outcome(rule, count, [too_few_columns(count, rule.limit)])


def too_few_columns(count: int, limit: float) -> Problem:
    """Why `count` columns are not enough."""
    message = f"The file has {count} columns; at least {limit:g} are asked for."
    return errors.problem(ErrorReason.ERROR_REASON_TOO_FEW_COLUMNS, message, value=count)


def _time_column(rule: Rule, found: Found) -> RuleOutcome:
    times = [fact for fact in found.columns if fact.is_time]
    named = [fact for fact in times if found.time_is_said or named_like_time(fact.source_name)]
    if named:
        return _outcome(rule, len(named), [])
    return _outcome(rule, 0, [no_time_column(found.columns, by_name=True)])


def no_time_column(columns: Sequence[ColumnFacts], *, by_name: bool, said: str = "") -> Problem:
    """Why there is no time column, with the column that comes nearest. `by_name`: whether its name
    has to be time-like; `said`: the column that the sender named."""
    reason = ErrorReason.ERROR_REASON_NO_TIME_COLUMN
    if said:
        message = f"No column {said!r} holds dates or times; it was named as the time column."
        return errors.problem(reason, message, column=said)
    for fact in columns:
        if fact.is_time and by_name:
            message = f"The values of {fact.shown_name} are times, but its name does not say so."
            action = "Give that column a name with 'date' or 'time' in it."
            return errors.problem(reason, message, column=fact.source_name, action=action)
    for fact in columns:
        if named_like_time(fact.source_name):
            message = f"Too few values of {fact.shown_name} are times in one and the same format."
            action = "Write that column in one date format throughout, such as YYYY-MM-DD."
            return errors.problem(reason, message, column=fact.source_name, action=action)
    message = "No column holds dates or times."
    if not by_name:
        message += " Every load needs one; the rule time_column decides only about its name."
    return errors.problem(reason, message)


def _min_numeric_columns(rule: Rule, found: Found) -> RuleOutcome:
    count = sum(fact.is_number for fact in found.columns)
    if count >= rule.limit:
        return _outcome(rule, count, [])
    message = (
        f"{count} columns are numeric, judged on all rows; at least {rule.limit:g} are asked for."
    )
    return _outcome(
        rule,
        count,
        [errors.problem(ErrorReason.ERROR_REASON_TOO_FEW_NUMERIC_COLUMNS, message, value=count)],
    )


def _max_null_share(rule: Rule, found: Found) -> RuleOutcome:
    worst = 0.0
    problems = []
    for fact in found.columns:
        unnamed_and_empty = not fact.source_name.strip() and not fact.values
        if unnamed_and_empty or not found.rows:
            continue
        share = fact.nulls / fact.rows if fact.rows else 0.0
        worst = max(worst, share)
        if share > rule.limit:
            message = f"{fact.shown_name} is empty in {fact.nulls:,} of {fact.rows:,} rows ({share:.1%}); at most {rule.limit:.0%} may be."
            reason = ErrorReason.ERROR_REASON_TOO_MANY_NULLS
            problems.append(
                errors.problem(reason, message, column=fact.source_name, value=round(share, 4))
            )
    return _outcome(rule, worst, problems)


def _max_reject_share(rule: Rule, found: Found) -> RuleOutcome:
    share = found.rejected / found.rows if found.rows else 0.0
    if share <= rule.limit:
        return _outcome(rule, share, [])
    message = f"{found.rejected:,} of {found.rows:,} rows cannot be loaded ({share:.1%}); at most {rule.limit:.0%} may be refused."
    return _outcome(
        rule,
        share,
        [errors.problem(ErrorReason.ERROR_REASON_TOO_MANY_REJECTS, message, value=round(share, 4))],
    )


_JUDGES: dict[str, Callable[[Rule, Found], RuleOutcome]] = {
    "min_columns": _min_columns,
    "time_column": _time_column,
    "min_numeric_columns": _min_numeric_columns,
    "max_null_share": _max_null_share,
    "max_reject_share": _max_reject_share,
}
