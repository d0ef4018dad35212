"""Policy rules, their defaults, and their outcomes for a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common import errors
from services.validation.columns.column_types import ColumnFacts, named_like_time
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    OnMisfit,
    Policy,
    ReadOptions,
    Report,
    Rule,
    RuleOutcome,
    Severity,
    Verdict,
)

DEFAULT_TYPE_SHARE = 0.95
DEFAULT_NULL_TOKENS = ("", "NULL", "N/A", "#N/A")
"""Also in lower case. A quoted empty value is null too: spreadsheets quote at will."""

DEFAULT_LIMITS: dict[str, float | None] = {
    "min_columns": 5,
    "time_column": None,
    "min_numeric_columns": 2,
    "max_null_share": 0.8,
    "max_reject_share": 0.05,
}
"""All rules with their thresholds; None if a rule has none. By default, all of them block."""


Outcome = tuple[float, list[Problem]]
"""The figure that a rule compares with its threshold, and the problems."""


@dataclass(frozen=True)
class Facts:
    """The facts about a file that the rules check."""

    columns: Sequence[ColumnFacts]
    rows: int
    """Rows that are not blank."""
    rejected: int
    time_is_specified: bool = False
    """Whether the sender specified the time column, so that its name need not be time-like."""


class UnknownRuleError(ValueError):
    """A policy has an unknown rule."""


def type_share(policy: Policy) -> float:
    """Share of a column's values that must parse as its type."""
    return policy.type_share if policy.HasField("type_share") else DEFAULT_TYPE_SHARE


def null_tokens(policy: Policy, options: ReadOptions) -> Sequence[str]:
    """The null tokens of the sender, else of the policy, else the defaults."""
    return list(options.null_tokens) or list(policy.null_tokens) or DEFAULT_NULL_TOKENS


def on_misfit(policy: Policy) -> "OnMisfit.ValueType":
    """How to treat type mismatches."""
    return policy.on_misfit or OnMisfit.ON_MISFIT_REJECT_ROW


def rules(policy: Policy, options: ReadOptions) -> list[Rule]:
    """All rules with their severities and thresholds.

    The sender's override the policy's, which override the defaults.

    Raises:
        UnknownRuleError: a rule does not exist.
    """
    merged = {
        name: Rule(name=name, severity=Severity.SEVERITY_BLOCK, limit=limit)
        for name, limit in DEFAULT_LIMITS.items()
    }
    for rule in [*policy.rules, *options.rules]:
        if rule.name not in merged:
            raise UnknownRuleError(
                f"There is no rule {rule.name!r}; the rules are {', '.join(merged)}."
            )
        if rule.severity:
            merged[rule.name].severity = rule.severity
        if rule.HasField("limit"):
            merged[rule.name].limit = rule.limit
    return list(merged.values())


def check(policy: Policy, options: ReadOptions, field: str) -> None:
    """Checks that all rules exist.

    Raises:
        SluiceError: REQUEST_INVALID, for the request's `field`.
    """
    try:
        rules(policy, options)
    except UnknownRuleError as failure:
        raise errors.error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID, str(failure), column=field
        ) from failure


def needs_time_name(rules: Sequence[Rule]) -> bool:
    """Whether the time column must have a time-like name."""
    return any(
        rule.name == "time_column" and rule.severity == Severity.SEVERITY_BLOCK for rule in rules
    )


def evaluate(rules: Sequence[Rule], facts: Facts) -> list[RuleOutcome]:
    """The outcome of every rule that is not off."""
    return [
        RuleOutcome(rule=rule, passed=not problems, found=found, problems=problems)
        for rule in rules
        if rule.severity != Severity.SEVERITY_OFF
        for found, problems in [_CHECKS[rule.name](rule, facts)]
    ]


def _min_columns(rule: Rule, facts: Facts) -> Outcome:
    count = len(facts.columns)
    return count, [too_few_columns(count, rule.limit)] if count < rule.limit else []


def too_few_columns(count: int, limit: float) -> Problem:
    """The problem of a file with only `count` columns."""
    message = f"The file has {count} columns; at least {limit:g} are required."
    return errors.problem(ErrorReason.ERROR_REASON_TOO_FEW_COLUMNS, message, value=count)


def _time_column(rule: Rule, facts: Facts) -> Outcome:
    count = sum(
        fact.is_time and (facts.time_is_specified or named_like_time(fact.source_name))
        for fact in facts.columns
    )
    return count, [] if count else [no_time_column(facts.columns, by_name=True)]


def no_time_column(
    columns: Sequence[ColumnFacts], *, by_name: bool, specified: str = ""
) -> Problem:
    """The problem of a file without a time column; it names the likeliest column.

    `by_name`: whether the name must be time-like. `specified`: the column that the sender named.
    """
    reason = ErrorReason.ERROR_REASON_NO_TIME_COLUMN
    if specified:
        message = f"There is no column {specified!r} with dates or times, but it was specified as the time column."
        return errors.problem(reason, message, column=specified)
    for fact in columns:
        if fact.is_time and by_name:
            message = f"{fact.display_name} contains dates or times, but its name has neither 'date' nor 'time'."
            action = "Add 'date' or 'time' to the name of that column."
            return errors.problem(reason, message, column=fact.source_name, action=action)
    for fact in columns:
        if named_like_time(fact.source_name):
            message = (
                f"Too few values of {fact.display_name} are dates or times in the same format."
            )
            action = "Use one date format in the whole column, such as YYYY-MM-DD."
            return errors.problem(reason, message, column=fact.source_name, action=action)
    message = "No column contains dates or times."
    if not by_name:
        message += " Every load needs one; the rule time_column only checks its name."
    return errors.problem(reason, message)


def _min_numeric_columns(rule: Rule, facts: Facts) -> Outcome:
    count = sum(fact.is_number for fact in facts.columns)
    if count >= rule.limit:
        return count, []
    message = f"{count} columns are numeric; at least {rule.limit:g} are required."
    reason = ErrorReason.ERROR_REASON_TOO_FEW_NUMERIC_COLUMNS
    return count, [errors.problem(reason, message, value=count)]


def _max_null_share(rule: Rule, facts: Facts) -> Outcome:
    worst = 0.0
    problems = []
    for fact in facts.columns:
        share = fact.nulls / fact.rows if fact.rows else 0.0
        if not facts.rows or not (fact.source_name.strip() or fact.values):
            continue
        worst = max(worst, share)
        if share > rule.limit:
            message = (
                f"{fact.display_name} is empty in {fact.nulls:,} of {fact.rows:,} rows "
                f"({share:.1%}); at most {rule.limit:.0%} are allowed."
            )
            reason = ErrorReason.ERROR_REASON_TOO_MANY_NULLS
            problems.append(
                errors.problem(reason, message, column=fact.source_name, value=round(share, 4))
            )
    return worst, problems


def _max_reject_share(rule: Rule, facts: Facts) -> Outcome:
    share = facts.rejected / facts.rows if facts.rows else 0.0
    if share <= rule.limit:
        return share, []
    message = f"{facts.rejected:,} of {facts.rows:,} rows cannot be loaded ({share:.1%}); at most {rule.limit:.0%} are allowed."
    reason = ErrorReason.ERROR_REASON_TOO_MANY_REJECTS
    return share, [errors.problem(reason, message, value=round(share, 4))]


_CHECKS: dict[str, Callable[[Rule, Facts], Outcome]] = {
    "min_columns": _min_columns,
    "time_column": _time_column,
    "min_numeric_columns": _min_numeric_columns,
    "max_null_share": _max_null_share,
    "max_reject_share": _max_reject_share,
}


def reject(report: Report, problems: Sequence[Problem]) -> None:
    """Sets the verdict and summary of a file that the problems reject."""
    report.verdict = Verdict.VERDICT_REJECTED
    more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
    report.summary = f"Rejected: {problems[0].message}{more}"
