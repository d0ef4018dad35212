"""The ingestion spec, and the checks of its names and times."""

import dataclasses
import json
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import datasource_names
from services.common.errors import SluiceError
from services.druid_gateway.loads import spec
from services.druid_gateway.loads.granularity import Granularity, align
from services.druid_gateway.loads.load import Column, ColumnType, Load, Mode, Part

JANUARY = 1_577_836_800_000
TASK = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
LOAD = Load(
    task_id=TASK,
    attempt=2,
    datasource="sales",
    mode=Mode.APPEND,
    columns=[
        Column("City", ColumnType.STRING),
        Column("n", ColumnType.LONG),
        Column("Sales", ColumnType.DOUBLE),
    ],
    parts=[Part("s3://b/000.csv", 10)],
    min_millis=JANUARY,
    max_millis=JANUARY + 1,
    rows=10,
)
SOURCE = {"type": "http", "uris": ["http://s3/b/000.csv?X-Amz-Signature=1"]}


def build(load: Load = LOAD, concurrency: int = 1) -> spec.Json:
    return spec.build(
        load,
        Granularity.DAY,
        align(Granularity.DAY, load.min_millis, load.max_millis),
        SOURCE,
        concurrency,
    )


def test_the_whole_spec() -> None:
    assert build() == {
        "type": "index_parallel",
        "id": f"sluice-{TASK}-2",
        "spec": {
            "dataSchema": {
                "dataSource": "sales",
                "timestampSpec": {"column": "__time", "format": "millis"},
                "dimensionsSpec": {
                    "dimensions": [
                        {"type": "string", "name": "City"},
                        {"type": "long", "name": "n"},
                        {"type": "double", "name": "Sales"},
                        {"type": "string", "name": "__load_id"},
                    ],
                    "useSchemaDiscovery": True,
                },
                "transformSpec": {
                    "transforms": [
                        {"type": "expression", "name": "__load_id", "expression": f"'{TASK}'"}
                    ]
                },
                "granularitySpec": {
                    "type": "uniform",
                    "segmentGranularity": "DAY",
                    "queryGranularity": "NONE",
                    "rollup": False,
                    "intervals": ["2020-01-01T00:00:00.000Z/2020-01-02T00:00:00.000Z"],
                },
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": SOURCE,
                "inputFormat": {
                    "type": "csv",
                    "findColumnsFromHeader": True,
                    "listDelimiter": f"\x01sluice-{TASK}-2\x01",
                },
                "appendToExisting": True,
                "dropExisting": False,
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 5_000_000},
                "maxNumConcurrentSubTasks": 1,
                "forceGuaranteedRollup": False,
                "maxParseExceptions": 0,
                "maxSavedParseExceptions": 3,
                "logParseExceptions": False,
            },
        },
        "context": {"forceTimeChunkLock": True},
    }


def test_replace_drops_no_chunk_without_a_row() -> None:
    io_config = build(dataclasses.replace(LOAD, mode=Mode.REPLACE))["spec"]["ioConfig"]
    assert (io_config["appendToExisting"], io_config["dropExisting"]) == (False, False)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8))
def test_names_stay_inside_their_strings(names: list[str]) -> None:
    load = dataclasses.replace(LOAD, columns=[Column(name, ColumnType.STRING) for name in names])
    posted = json.loads(json.dumps(build(load)))
    assert [
        each["name"] for each in posted["spec"]["dataSchema"]["dimensionsSpec"]["dimensions"]
    ] == [*names, "__load_id"]
    # Everything else is the same, whatever the names are.
    posted["spec"]["dataSchema"]["dimensionsSpec"]["dimensions"] = build()["spec"]["dataSchema"][
        "dimensionsSpec"
    ]["dimensions"]
    assert posted == build()


@given(st.text())
def test_a_string_literal_cannot_be_closed_early(text: str) -> None:
    written = spec.expression_string(text)
    body = written[1:-1]
    assert written[0] == written[-1] == "'"
    assert re.fullmatch(r"(?:[A-Za-z0-9_ -]|\\u[0-9a-f]{4})*", body)
    units = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), body)
    assert units.encode("utf-16-be", "surrogatepass") == text.encode("utf-16-be", "surrogatepass")


@given(st.uuids())
def test_a_task_id_needs_no_escape(task_id: uuid.UUID) -> None:
    assert spec.expression_string(str(task_id)) == f"'{task_id}'"


@pytest.mark.parametrize(
    "names",
    [["__time"], ["__load_id"], ["a", "a"], ["a\n"], ["a\x00"], ["a,b"], ["\x7f"], ["x" * 1001]],
    ids=["time", "load id", "twice", "line break", "nul", "comma", "delete", "long"],
)
def test_rejected_column_names(names: list[str]) -> None:
    with pytest.raises(SluiceError) as refused:
        spec.check_names(
            dataclasses.replace(LOAD, columns=[Column(name, ColumnType.LONG) for name in names])
        )
    assert refused.value.code == "REQUEST_INVALID"
    assert refused.value.problem.column == "columns"


@pytest.mark.parametrize(
    "names", [["a", "A"], ["größe"], ['"'], ["'; --"], [" "], ["select"], ["x" * 1000], ["💧"]]
)
def test_accepted_column_names(names: list[str]) -> None:
    spec.check_names(
        dataclasses.replace(LOAD, columns=[Column(name, ColumnType.LONG) for name in names])
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "../a",
        "a b",
        ".a",
        "-a",
        "_a",
        "a\n",
        "a;b",
        "a'b",
        'a"b',
        "a\\b",
        "a%2Fb",
        "a?b",
        "a#b",
        "x" * 129,
        "a\u2028",
    ],
)
def test_rejected_datasource_names(name: str) -> None:
    with pytest.raises(SluiceError) as refused:
        datasource_names.check_readable(name)
    assert refused.value.code == "DATASOURCE_NAME_INVALID"


@pytest.mark.parametrize("name", ["a", "superstore", "Sales_2020-q1.v2", "7up", "x" * 128, "größe"])
def test_accepted_datasource_names(name: str) -> None:
    datasource_names.check_readable(name)


@pytest.mark.parametrize(
    ("first", "last"),
    [(1, 0), (-62_135_596_800_001, 0), (0, 253_370_764_800_000)],
    ids=["backwards", "year 0", "year 9999"],
)
def test_rejected_times(first: int, last: int) -> None:
    with pytest.raises(SluiceError) as refused:
        spec.check_names(dataclasses.replace(LOAD, min_millis=first, max_millis=last))
    assert refused.value.code == "REQUEST_INVALID"


@pytest.mark.parametrize(
    ("parts", "rows", "slots", "expected"),
    [
        (4, 999_999, 100, 1),
        (4, 1_000_000, 100, 4),
        (4, 5_000_000, 4, 2),
        (4, 5_000_000, 3, 1),
        (4, 5_000_000, 0, 1),
        (1, 10**7, 9, 1),
    ],
)
def test_sub_tasks(parts: int, rows: int, slots: int, expected: int) -> None:
    assert spec.sub_tasks(parts, rows, slots) == expected
    assert spec.sub_tasks(parts, rows, None) == 1
