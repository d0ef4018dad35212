"""Policy rules, their defaults, and the order of problems."""

import pytest

from services.validation.report import policy as policies
from sluice.validation.v1.validation_pb2 import Policy, ReadOptions, Rule, Severity, Verdict
from tests.unit.validation.examining import Examine

GOOD = b"date,region,units,amount,note\n" + b"2024-01-01,North,1,2.5,x\n" * 20
DEFAULT = Policy()


def test_a_good_file_passes_all_rules(examine: Examine) -> None:
    examined = examine(GOOD, policy=DEFAULT)
    assert examined.passed
    assert {
        outcome.rule.name: outcome.passed for outcome in examined.report.rules
    } == dict.fromkeys(policies.DEFAULT_LIMITS, True)
    assert examined.report.summary == "20 rows can be loaded."


@pytest.mark.parametrize(
    ("data", "code", "column", "value"),
    [
        (b"date,region,units,amount\n2024-01-01,North,1,2.5\n", "TOO_FEW_COLUMNS", "", "4"),
        (b"day,region,units,amount,note\nMonday,North,1,2.5,x\n", "NO_TIME_COLUMN", "", ""),
        (
            b"date,region,units,amount,note\n2024-01-01,North,1,high,x\n",
            "TOO_FEW_NUMERIC_COLUMNS",
            "",
            "1",
        ),
        (GOOD.replace(b",x\n", b",\n", 17), "TOO_MANY_NULLS", "note", "0.85"),
        (GOOD + b"2024-01-01,North\n" * 2, "TOO_MANY_REJECTS", "", "0.0909"),
    ],
)
def test_a_file_that_breaks_one_rule(
    examine: Examine, data: bytes, code: str, column: str, value: str
) -> None:
    examined = examine(data, policy=DEFAULT)
    assert examined.report.verdict == Verdict.VERDICT_REJECTED
    assert examined.codes == [code]
    problem = examined.report.problems[0]
    assert (problem.column, problem.value) == (column, value)
    assert problem.action
    assert problem.message in examined.report.summary
    assert not examined.report.parts
    assert [outcome.rule.name for outcome in examined.report.rules if not outcome.passed]


def test_shares_at_the_threshold_pass(examine: Examine) -> None:
    assert examine(GOOD.replace(b",x\n", b",\n", 16), policy=DEFAULT).passed
    assert examine(GOOD.replace(b"2024-01-01,", b"never,", 1), policy=DEFAULT).passed


def test_all_problems_are_reported_blocking_ones_first(examine: Examine) -> None:
    warn = Policy(rules=[Rule(name="min_columns", severity=Severity.SEVERITY_WARN)])
    examined = examine(b"a,a\nx,y\n", policy=warn)
    assert examined.codes == [
        "NO_TIME_COLUMN",
        "TOO_FEW_NUMERIC_COLUMNS",
        "COLUMN_RENAMED",
        "TOO_FEW_COLUMNS",
    ]


def test_rules_can_warn_be_off_or_have_another_threshold(examine: Examine) -> None:
    narrow = b"date,units\n2024-01-01,1\n"
    assert not examine(narrow, policy=DEFAULT).passed
    changed = Policy(
        rules=[
            Rule(name="min_columns", severity=Severity.SEVERITY_WARN),
            Rule(name="min_numeric_columns", limit=1),
        ],
    )
    examined = examine(narrow, policy=changed)
    assert examined.passed
    assert examined.codes == ["TOO_FEW_COLUMNS"]
    first = examined.report.rules[0]
    assert (first.rule.name, first.passed, first.found) == ("min_columns", False, 2)


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(policies.UnknownRuleError, match="no rule 'max_nulls'"):
        policies.rules(Policy(rules=[Rule(name="max_nulls")]), ReadOptions())


def test_a_column_without_name_and_values_is_left_out(examine: Examine) -> None:
    examined = examine(GOOD.replace(b"\n", b",\n"), policy=DEFAULT)
    assert examined.passed
    assert examined.codes == []
    assert list(examined.rows()[0]) == ["__time", "region", "units", "amount", "note"]
    assert examined.report.columns[-1].evidence.endswith("not loaded.")


def test_names_are_unique_and_not_reserved(examine: Examine) -> None:
    examined = examine(
        b'date, region ,region,,__load_id,"two\nlines",__time\n2024-01-01,a,b,c,d,e,f\n'
    )
    assert list(examined.rows()[0]) == [
        "__time",
        "region",
        "region_2",
        "column_4",
        "load_id",
        "two lines",
        "time",
    ]
    assert examined.codes == ["COLUMN_RENAMED"] * 5
