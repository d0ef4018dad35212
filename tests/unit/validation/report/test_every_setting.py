"""Every setting of a datasource and every option of a file has an effect.

There is one case for each field of the contracts, each value of its enums, and each rule. A field
that is added has no case, and a setting that is ignored changes nothing: both fail here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from buf.validate import validate_pb2
from services.common.errors import SluiceError
from services.common.serving.interceptors import check
from services.status.tasks.quality import merged
from services.validation.report.policy import DEFAULT_LIMITS
from sluice.status.v1.status_pb2 import DatasourceSettings, SetDatasourceSettingsRequest
from sluice.validation.v1.validation_pb2 import (
    ColumnOptions,
    ColumnType,
    Contract,
    ContractMode,
    Header,
    KnownColumn,
    LoadType,
    Policy,
    ReadOptions,
    Rule,
    Severity,
    Verdict,
)
from tests.unit.validation.examining import LENIENT, Examine, Examined
from tests.unit.validation.workbooks import xlsx

SET_BY_THE_SERVER = {"policy.contract.task_id", "policy.contract.columns"}
LIMITLESS = {"time_column"}
"""Rules without a threshold; specifying one is an error."""


def values_of(field: FieldDescriptor, path: str) -> Iterator[str]:
    """The settings of a field: each value of an enum, otherwise any value."""
    if field.enum_type is not None:
        prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        for value in field.enum_type.values[1:]:
            yield f"{path}={value.name.removeprefix(prefix)}"
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        yield from (f"{path}=true", f"{path}=false")
    else:
        yield path


def settings_of(kind: Descriptor, prefix: str = "") -> Iterator[str]:
    """All settings of a message and its submessages."""
    for field in kind.fields:
        path = f"{prefix}{field.name}"
        if path in SET_BY_THE_SERVER:
            continue
        if field.message_type is Rule.DESCRIPTOR:
            for name, part in product(DEFAULT_LIMITS, Rule.DESCRIPTOR.fields):
                if part.name != "name" and not (part.name == "limit" and name in LIMITLESS):
                    yield from values_of(part, f"{path}.{name}.{part.name}")
        elif field.message_type is not None:
            yield from settings_of(field.message_type, f"{path}.")
        else:
            yield from values_of(field, path)


@dataclass(frozen=True)
class Case:
    """A file, and what its report or rows show without and with the setting."""

    data: bytes
    shows: Callable[[Examined], Any]
    before: Any
    after: Any
    without: DatasourceSettings
    with_it: DatasourceSettings
    filename: str = "table.csv"


CASES: dict[str, Case] = {}


def codes(examined: Examined) -> tuple[bool, list[str]]:
    """Whether the file passed, and the codes of its problems."""
    return examined.passed, examined.codes


def names(examined: Examined) -> list[str]:
    """The column names in the file."""
    return [column.source_name for column in examined.report.columns]


def kind_of_n(examined: Examined) -> str:
    """The type of the column `n`."""
    return ColumnType.Name(examined.column("n").type).removeprefix("COLUMN_TYPE_")


def values_of_n(examined: Examined) -> list[str]:
    """The loaded values of the column `n`."""
    return [row["n"] for row in examined.rows()]


def counts(examined: Examined) -> tuple[int, int]:
    """Loadable and rejected rows."""
    return examined.report.rows_loadable, examined.report.rows_rejected


def first_day(examined: Examined) -> str:
    """The time of the first row."""
    return examined.column(examined.report.time.source_name).min[:10]


def lenient(**fields: Any) -> DatasourceSettings:
    """Settings whose policy has these fields and no blocking rule but the time column."""
    policy = Policy(**fields)
    policy.rules.extend(LENIENT.rules)
    return DatasourceSettings(policy=policy)


def table(*cells: str) -> bytes:
    """A table of a date and the column `n`."""
    return ("date,n\n" + "".join(f"2024-01-02,{cell}\n" for cell in cells)).encode()


def of_policy(
    path: str,
    data: bytes,
    shows: Callable[[Examined], Any],
    before: Any,
    after: Any,
    without: DatasourceSettings,
    with_it: DatasourceSettings,
) -> None:
    """A setting of the policy."""
    CASES[f"policy.{path}"] = Case(data, shows, before, after, without, with_it)


def of_options(
    path: str,
    data: bytes,
    shows: Callable[[Examined], Any],
    before: Any,
    after: Any,
    options: ReadOptions,
    without: ReadOptions | None = None,
    filename: str = "table.csv",
    **policy: Any,
) -> None:
    """An option, compared with reading the file with the options `without`."""
    old, new = lenient(**policy), lenient(**policy)
    new.options.CopyFrom(options)
    if without is not None:
        old.options.CopyFrom(without)
    CASES[f"options.{path}"] = Case(data, shows, before, after, old, new, filename)


# ---- rules, of the policy and of a file's options

GOOD = b"date,region,units,amount,note\n" + b"2024-01-01,North,1,2.5,x\n" * 20
BREAKING: dict[str, tuple[bytes, str, float]] = {
    "min_columns": (b"date,a,b,c\n2024-01-01,x,1,2.5\n", "TOO_FEW_COLUMNS", 4),
    "time_column": (GOOD.replace(b"date", b"when"), "NO_TIME_COLUMN", 0),
    "min_numeric_columns": (GOOD.replace(b"2.5", b"high"), "TOO_FEW_NUMERIC_COLUMNS", 1),
    "max_null_share": (GOOD.replace(b",x\n", b",\n", 17), "TOO_MANY_NULLS", 0.9),
    "max_reject_share": (GOOD + b"2024-01-01,North\n" * 2, "TOO_MANY_REJECTS", 0.2),
}
"""By rule: a file that breaks only this rule, the problem's code, and a threshold that it passes."""


def with_rule(place: str, rule: Rule) -> DatasourceSettings:
    """Settings with one rule."""
    made = DatasourceSettings()
    getattr(made, place).rules.append(rule)
    return made


def of_rules(place: str, name: str, data: bytes, code: str, kept: float) -> None:
    """All settings of one rule."""
    rejected, warned, passed = (False, [code]), (True, [code]), (True, list[str]())
    off = with_rule("policy", Rule(name=name, severity=Severity.SEVERITY_OFF))
    for severity, without, before, after in (
        ("OFF", DatasourceSettings(), rejected, passed),
        ("WARN", DatasourceSettings(), rejected, warned),
        ("BLOCK", off, passed, rejected),
    ):
        changed = with_rule(place, Rule(name=name, severity=Severity.Value(f"SEVERITY_{severity}")))
        if place == "options":
            changed.MergeFrom(without)
        path = f"{place}.rules.{name}.severity={severity}"
        CASES[path] = Case(data, codes, before, after, without, changed)
    limited = with_rule(place, Rule(name=name, limit=kept))
    CASES[f"{place}.rules.{name}.limit"] = Case(
        data,
        codes,
        rejected,
        passed,
        DatasourceSettings(),
        limited,
    )


for _place, (_rule, _breaking) in product(("policy", "options"), BREAKING.items()):
    of_rules(_place, _rule, *_breaking)
for _place in ("policy", "options"):
    del CASES[f"{_place}.rules.time_column.limit"]

# ---- the policy

ONE_BAD = table(*["1"] * 30, "many")
NULLING = lenient(on_misfit="ON_MISFIT_NULL_VALUE")
REJECTING = lenient(on_misfit="ON_MISFIT_REJECT_ROW")
WIDENING = lenient(on_misfit="ON_MISFIT_WIDEN_TO_TEXT")
LAST_LOAD = KnownColumn(
    name="__time",
    type=ColumnType.COLUMN_TYPE_DATE,
    load_type=LoadType.LOAD_TYPE_TIME,
)


def contract(mode: str) -> DatasourceSettings:
    """A contract with a last load that had no column `n`."""
    task = "00000000-0000-4000-8000-000000000002"
    value = ContractMode.Value(mode)
    return lenient(contract=Contract(mode=value, task_id=task, columns=[LAST_LOAD]))


UNSET = contract("CONTRACT_MODE_UNSPECIFIED")
FREEZE = contract("CONTRACT_MODE_FREEZE")
EVOLVED, BROKEN = (True, ["COLUMNS_CHANGED"]), (False, ["CONTRACT_BROKEN"])
DISCARDED = (True, ["COLUMN_LEFT_OUT"])

of_policy(
    "type_share",
    table("1", "1", "1", "many"),
    kind_of_n,
    "TEXT",
    "INTEGER",
    lenient(),
    lenient(type_share=0.7),
)
of_policy("on_misfit=REJECT_ROW", ONE_BAD, counts, (31, 0), (30, 1), NULLING, REJECTING)
of_policy("on_misfit=NULL_VALUE", ONE_BAD, counts, (30, 1), (31, 0), lenient(), NULLING)
of_policy("on_misfit=WIDEN_TO_TEXT", ONE_BAD, kind_of_n, "INTEGER", "TEXT", lenient(), WIDENING)
of_policy(
    "null_tokens",
    table("a", "-"),
    values_of_n,
    ["a", "-"],
    ["a", ""],
    lenient(),
    lenient(null_tokens=["-"]),
)
of_policy(
    "contract.mode=EVOLVE",
    table("1"),
    codes,
    BROKEN,
    EVOLVED,
    FREEZE,
    contract("CONTRACT_MODE_EVOLVE"),
)
of_policy("contract.mode=FREEZE", table("1"), codes, EVOLVED, BROKEN, UNSET, FREEZE)
of_policy(
    "contract.mode=DISCARD",
    table("1"),
    codes,
    EVOLVED,
    DISCARDED,
    UNSET,
    contract("CONTRACT_MODE_DISCARD"),
)

# ---- how a file is read

TWO_WAYS = b"date;n,m\n2024-01-02;1,5\n2024-01-03;2,6\n"
APOSTROPHES = b"date,n\n2024-01-02,'a,b'\n"
ESCAPED = rb"date,n" + b"\n" + rb'2024-01-02,"a ~"b~" c"' + b"\n"
EARLY_DAYS = b"date,n\n2024-01-02,1\n"
ONE_ROW_MORE = b"date,n\nday,m\n2024-01-02,1\n"
BOOK = xlsx(
    [["date", "n"], ["2024-01-02", "1"], ["2024-01-03", "2"]],
    [["date", "m"], ["2024-01-02", "1"]],
    names=["A", "B"],
)

of_options(
    "delimiter",
    TWO_WAYS,
    names,
    ["date;n", "m"],
    ["date", "n,m"],
    ReadOptions(delimiter=";"),
    ReadOptions(delimiter=","),
)
of_options("quote", APOSTROPHES, values_of_n, [], ["a,b"], ReadOptions(quote="'"))
of_options("escape", ESCAPED, values_of_n, [], ['a "b" c'], ReadOptions(escape="~"))
of_options(
    "encoding",
    table("ž").decode().encode("cp1250"),
    values_of_n,
    [],
    ["ž"],
    ReadOptions(encoding="windows-1250"),
)
of_options(
    "header=AUTO",
    EARLY_DAYS,
    names,
    ["column_1", "column_2"],
    ["date", "n"],
    ReadOptions(header=Header.HEADER_AUTO),
    ReadOptions(header=Header.HEADER_NO),
)
of_options(
    "header=YES",
    b"2024-01-01,5\n2024-01-02,6\n",
    names,
    ["column_1", "column_2"],
    ["2024-01-01", "5"],
    ReadOptions(header=Header.HEADER_YES),
)
of_options(
    "header=NO",
    EARLY_DAYS,
    names,
    ["date", "n"],
    ["column_1", "column_2"],
    ReadOptions(header=Header.HEADER_NO),
)
of_options(
    "header_row",
    ONE_ROW_MORE,
    names,
    ["date", "n"],
    ["day", "m"],
    ReadOptions(header_row=2),
)
of_options(
    "sheet",
    BOOK,
    names,
    ["date", "n"],
    ["date", "m"],
    ReadOptions(sheet="B"),
    filename="book.xlsx",
)
of_options(
    "decimal_mark",
    table('"1,234"', '"5,678"'),
    values_of_n,
    ["1234", "5678"],
    ["1.234", "5.678"],
    ReadOptions(decimal_mark=","),
)
of_options(
    "thousands_mark",
    table("1.234", "5.678"),
    values_of_n,
    ["1.234", "5.678"],
    ["1234", "5678"],
    ReadOptions(thousands_mark="."),
)
of_options(
    "day_first=true",
    b"date,n\n01/02/2024,1\n",
    codes,
    (True, ["DAY_MONTH_ASSUMED"]),
    (True, []),
    ReadOptions(day_first=True),
)
of_options(
    "day_first=false",
    b"date,n\n01/02/2024,1\n",
    first_day,
    "2024-02-01",
    "2024-01-02",
    ReadOptions(day_first=False),
)
of_options(
    "null_tokens",
    table("a", "-"),
    values_of_n,
    ["a", "-"],
    ["a", ""],
    ReadOptions(null_tokens=["-"]),
)
of_options(
    "time_column",
    b"date,sold date\n2024-01-02,2023-05-06\n",
    first_day,
    "2024-01-02",
    "2023-05-06",
    ReadOptions(time_column="sold date"),
)


def of_column(
    part: str,
    data: bytes,
    shows: Callable[[Examined], Any],
    before: Any,
    after: Any,
    **fields: Any,
) -> None:
    """An option of the column `n`."""
    policy = fields.pop("policy", {})
    options = ReadOptions(columns=[ColumnOptions(name="n", **fields)])
    of_options(f"columns.{part}", data, shows, before, after, options, **policy)


NUMBERS, HALF = table("1", "2"), ["2024-05-06", "2024-05-07", "soon", "later"]
of_column("name", NUMBERS, kind_of_n, "INTEGER", "TEXT", type="COLUMN_TYPE_TEXT")
of_column("type=INTEGER", table("1", "x"), kind_of_n, "TEXT", "INTEGER", type="COLUMN_TYPE_INTEGER")
of_column("type=DECIMAL", NUMBERS, kind_of_n, "INTEGER", "DECIMAL", type="COLUMN_TYPE_DECIMAL")
of_column(
    "type=BOOLEAN",
    table("yes", "x"),
    kind_of_n,
    "TEXT",
    "BOOLEAN",
    type="COLUMN_TYPE_BOOLEAN",
)
of_column("type=DATE", table(*HALF), kind_of_n, "TEXT", "DATE", type="COLUMN_TYPE_DATE")
of_column(
    "type=DATETIME",
    table("2024-05-06 10:00", "x"),
    kind_of_n,
    "TEXT",
    "DATETIME",
    type="COLUMN_TYPE_DATETIME",
)
of_column("type=TEXT", NUMBERS, kind_of_n, "INTEGER", "TEXT", type="COLUMN_TYPE_TEXT")
of_column(
    "type=IDENTIFIER",
    NUMBERS,
    kind_of_n,
    "INTEGER",
    "IDENTIFIER",
    type="COLUMN_TYPE_IDENTIFIER",
)
of_column(
    "on_misfit=REJECT_ROW",
    ONE_BAD,
    counts,
    (31, 0),
    (30, 1),
    on_misfit="ON_MISFIT_REJECT_ROW",
    policy={"on_misfit": "ON_MISFIT_NULL_VALUE"},
)
of_column(
    "on_misfit=NULL_VALUE",
    ONE_BAD,
    counts,
    (30, 1),
    (31, 0),
    on_misfit="ON_MISFIT_NULL_VALUE",
)
of_column(
    "on_misfit=WIDEN_TO_TEXT",
    ONE_BAD,
    kind_of_n,
    "INTEGER",
    "TEXT",
    on_misfit="ON_MISFIT_WIDEN_TO_TEXT",
)
of_column(
    "time_format",
    table("20240506", "20240607"),
    kind_of_n,
    "INTEGER",
    "DATE",
    time_format="%Y%m%d",
)

# ----

EVERY = list(settings_of(DatasourceSettings.DESCRIPTOR))


def test_every_setting_has_a_case_and_every_case_a_setting() -> None:
    assert sorted(CASES) == sorted(EVERY)
    named = Rule.DESCRIPTOR.fields_by_name["name"].GetOptions().Extensions[validate_pb2.field]
    assert list(getattr(named.string, "in")) == list(DEFAULT_LIMITS)


@pytest.mark.parametrize("path", EVERY)
def test_every_setting_has_an_effect(examine: Examine, path: str) -> None:
    case = CASES[path]
    check(SetDatasourceSettingsRequest(datasource="sales", settings=case.with_it))
    assert case.before != case.after

    def shown(saved: DatasourceSettings, policy: Policy, specified: ReadOptions) -> Any:
        options = merged(saved.options, specified)
        examined = examine(case.data, case.filename, policy=policy, options=options)
        assert examined.report.verdict in (Verdict.VERDICT_PASSED, Verdict.VERDICT_REJECTED)
        return case.shows(examined)

    nothing = ReadOptions()
    assert shown(case.without, case.without.policy, nothing) == case.before
    assert shown(case.with_it, case.with_it.policy, nothing) == case.after
    # An option of the sender overrides the saved one.
    assert shown(case.without, case.with_it.policy, case.with_it.options) == case.after


@pytest.mark.parametrize("place", ["policy", "options"])
def test_a_threshold_without_effect_is_an_error(place: str) -> None:
    settings = with_rule(place, Rule(name="time_column", limit=1))
    with pytest.raises(SluiceError) as caught:
        check(SetDatasourceSettingsRequest(datasource="sales", settings=settings))
    assert caught.value.code == "REQUEST_INVALID"
    assert caught.value.problem.column == f"settings.{place}.rules"
