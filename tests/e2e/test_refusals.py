"""Rejected files have a code, a location and an action, and no rows in Druid."""

import io
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import pytest

from local.stack import Stack
from tests.e2e.gateway import Gateway
from tests.tables import sales_csv

PROBLEM = {"code", "message", "line", "column", "value", "action", "actor"}


def objects(stack: Stack, prefix: str) -> tuple[list[str], list[str]]:
    """Return the keys of the objects and of the open multipart uploads with a prefix."""
    s3 = boto3.client(
        "s3",
        endpoint_url=stack.s3_endpoint,
        region_name=stack.s3_region,
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
    )
    stored = s3.list_objects_v2(Bucket=stack.s3_bucket, Prefix=prefix).get("Contents", [])
    opened = s3.list_multipart_uploads(Bucket=stack.s3_bucket, Prefix=prefix).get("Uploads", [])
    return [item["Key"] for item in stored], [item["Key"] for item in opened]


def table(header: str, row: str, rows: int = 20) -> bytes:
    return "\n".join([header, *[row] * rows, ""]).encode()


def with_nulls() -> bytes:
    """Column `d` is empty in 90 of 100 rows."""
    return "\n".join(
        [
            "date,a,b,c,d",
            *(f"2024-01-02,{n},{n}.5,x,{'full' if n % 10 == 0 else ''}" for n in range(100)),
            "",
        ]
    ).encode()


def with_rejects() -> bytes:
    """`quantity` is not a number in 4 of 100 rows and the time is missing in 4 others."""
    rows = [
        f"{'' if n % 25 == 1 else '2024-01-02'},{'many' if n % 25 == 2 else n},{n}.5,north,x"
        for n in range(100)
    ]
    return "\n".join(["date,quantity,price,region,note", *rows, ""]).encode()


REJECTED = [
    pytest.param(
        "few.csv",
        table("date,a,b,c", "2024-01-02,1,2.5,x"),
        "TOO_FEW_COLUMNS",
        "",
        id="min_columns",
    ),
    pytest.param(
        "timeless.csv",
        table("when,a,b,c,d", "soon,1,2.5,x,y"),
        "NO_TIME_COLUMN",
        "",
        id="time_column",
    ),
    pytest.param(
        "words.csv",
        table("date,a,b,c,d", "2024-01-02,1,x,y,z"),
        "TOO_FEW_NUMERIC_COLUMNS",
        "",
        id="min_numeric_columns",
    ),
    pytest.param("sparse.csv", with_nulls(), "TOO_MANY_NULLS", "d", id="max_null_share"),
    pytest.param("damaged.csv", with_rejects(), "TOO_MANY_REJECTS", "", id="max_reject_share"),
    pytest.param("header.csv", b"date,a,b,c,d\n", "NO_ROWS", "", id="no rows"),
    pytest.param("blank.csv", b"\n \n\n", "FILE_EMPTY", "", id="blank"),
    pytest.param("text.xlsx", sales_csv(20), "FILE_TYPE_MISMATCH", "", id="text named xlsx"),
    pytest.param(
        "picture.csv",
        b"\x89PNG\r\n\x1a\n" + bytes(2000),
        "FILE_TYPE_MISMATCH",
        "",
        id="picture named csv",
    ),
]


def zipped(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "nothing of a workbook")
    return made.getvalue()


REJECTED.append(
    pytest.param("zip.xlsx", zipped("readme.txt"), "FILE_TYPE_MISMATCH", "", id="zip named xlsx")
)


@pytest.mark.parametrize(("name", "content", "code", "column"), REJECTED)
async def test_rejected_by_validation(
    gateway: Gateway,
    stack: Stack,
    new_datasource: Callable[[str], str],
    name: str,
    content: bytes,
    code: str,
    column: str,
) -> None:
    datasource = new_datasource("refused")
    task_id = await gateway.upload(name, content, datasource)
    task = await gateway.until(task_id, {"REJECTED"})
    errors: list[dict[str, Any]] = task["validation_errors"]
    assert code in [error["code"] for error in errors]
    found = next(error for error in errors if error["code"] == code)
    assert set(found) == PROBLEM
    assert found["column"] in {column, None} if not column else found["column"] == column
    assert found["message"].endswith(".")
    assert found["action"]
    assert found["actor"] == "you"
    assert task["message"]
    assert await gateway.rows_in_druid(datasource) == 0
    # The file and its report stay until retention.
    stored, opened = objects(stack, f"uploads/{datasource}/")
    assert (len(stored), opened) == (1, [])
    report = await gateway.http.get(f"/api/ingest/tasks/{task_id}/report")
    assert report.json()["verdict"] == "REJECTED"


async def test_bad_rows_are_named(gateway: Gateway, new_datasource: Callable[[str], str]) -> None:
    task_id = await gateway.upload("damaged.csv", with_rejects(), new_datasource("refused"))
    await gateway.until(task_id, {"REJECTED"})
    report = (await gateway.http.get(f"/api/ingest/tasks/{task_id}/report")).json()
    assert report["rows_read"] == 100
    assert report["rows_rejected"] == 8
    assert report["rows_loadable"] == 92
    first = report["first_rejects"][0]
    assert first["line"] == 3
    assert first["problems"][0]["code"] == "TIME_MISSING"
    rejects = (await gateway.http.get(f"/api/ingest/tasks/{task_id}/rejects")).text.splitlines()
    assert len(rejects) == 1 + 8
    assert "VALUE_MISFIT" in rejects[2]
    assert "many" in rejects[2]


async def test_a_few_bad_rows_do_not_reject_a_file(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    lines = sales_csv(200).decode().splitlines()
    lines[50] = ",".join(["not a day", *lines[50].split(",")[1:]])
    datasource = new_datasource("few_bad")
    task = await gateway.succeeded(
        await gateway.upload("few_bad.csv", "\n".join(lines).encode(), datasource)
    )
    assert (task["rows_read"], task["row_count"], task["rows_rejected"]) == (200, 199, 1)
    assert await gateway.rows_in_druid(datasource) == 199


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("empty.csv", b"", 400, "FILE_EMPTY"),
        ("notes.txt", b"hello", 415, "FILE_TYPE_UNSUPPORTED"),
        ("noextension", b"a,b\n1,2\n", 415, "FILE_TYPE_UNSUPPORTED"),
    ],
)
async def test_rejected_while_receiving(
    gateway: Gateway,
    stack: Stack,
    new_datasource: Callable[[str], str],
    name: str,
    content: bytes,
    status: int,
    code: str,
) -> None:
    datasource = new_datasource("refused")
    answer = await gateway.post_file(name, content, datasource)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) >= PROBLEM
    assert answer.json()["code"] == code
    assert objects(stack, f"uploads/{datasource}/") == ([], [])


@pytest.mark.parametrize(
    "datasource", ["../etc", "with space", "", "_internal", "x" * 129, "semi;colon", 'quo"te']
)
async def test_datasource_names(gateway: Gateway, datasource: str) -> None:
    answer = await gateway.post_file("x.csv", sales_csv(3), datasource)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"DATASOURCE_NAME_INVALID", "FIELD_ORDER"}
    assert answer.json()["action"]


async def test_one_over_the_limit(
    gateway: Gateway, stack: Stack, new_datasource: Callable[[str], str]
) -> None:
    """One byte over 500 MB, without a Content-Length: 413, no object, the task REJECTED."""
    datasource = new_datasource("too_long")
    boundary = "cut here"
    block = b"2024-01-02,1,2.5,x,y\n" * 50_000

    async def body() -> AsyncIterator[bytes]:
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="datasource_name"\r\n\r\n{datasource}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="long.csv"\r\n\r\ndate,a,b,c,d\n'
        ).encode()
        for _ in range(500 * 1024 * 1024 // len(block) + 1):
            yield block
        yield f"\r\n--{boundary}--\r\n".encode()

    answer = await gateway.http.post(
        "/api/ingest/upload",
        content=body(),
        headers={"Content-Type": f'multipart/form-data; boundary="{boundary}"'},
        timeout=170,
    )
    assert answer.status_code == 413, answer.text
    assert answer.json()["code"] == "FILE_TOO_LARGE"
    assert objects(stack, f"uploads/{datasource}/") == ([], [])
    listed = (
        await gateway.http.get("/api/ingest/tasks", params={"datasource_name": datasource})
    ).json()["tasks"]
    assert [(task["status"], task["error"]["code"]) for task in listed] == [
        ("REJECTED", "FILE_TOO_LARGE")
    ]


async def test_the_same_file_twice(gateway: Gateway, new_datasource: Callable[[str], str]) -> None:
    datasource, content = new_datasource("twice"), sales_csv(50)
    first = await gateway.upload("once.csv", content, datasource)
    await gateway.succeeded(first)
    again = await gateway.until(
        await gateway.upload("again.csv", content, datasource), {"REJECTED"}
    )
    assert again["error"]["code"] == "DUPLICATE_CONTENT"
    assert first in again["error"]["message"] or again["duplicate_of"] == first
    meant = await gateway.succeeded(
        await gateway.upload("meant.csv", content, datasource, allow_duplicate="true")
    )
    assert meant["row_count"] == 50
    assert await gateway.rows_in_druid(datasource) == 100


async def test_replace_touches_its_time_chunks(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("replaced")
    await gateway.succeeded(await gateway.upload("one.csv", sales_csv(80, seed=1), datasource))
    await gateway.succeeded(
        await gateway.upload("two.csv", sales_csv(70, seed=2), datasource, mode="replace")
    )
    assert await gateway.rows_in_druid(datasource) == 70


async def test_request_id(gateway: Gateway, new_datasource: Callable[[str], str]) -> None:
    datasource, content = new_datasource("key"), sales_csv(30)
    key = {"Idempotency-Key": datasource}
    answers = [
        await gateway.post_file("key.csv", content, datasource, headers=key) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    await gateway.succeeded(answers[0].json()["task_id"])
    assert await gateway.rows_in_druid(datasource) == 30
    other = await gateway.post_file("key.csv", content, new_datasource("other"), headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "REQUEST_ID_REUSED")
