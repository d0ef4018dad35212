"""Druid's failure texts: redaction, and causes in plain language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import code_of
from services.druid_gateway.http.answers import (
    query_failure,
    status_of_task,
    task_report,
    user_query_failure,
)
from services.druid_gateway.http.failures import clean, problem_of_task
from services.druid_gateway.http.redaction import redact
from services.druid_gateway.loads.load import TaskReport, TaskState, TaskStatus

URL = (
    "http://127.0.0.1:8333/sluice/tasks/3f/1/parts/000.csv?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261122"
    "&X-Amz-Date=20261122T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=0123abcd"
)


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f"Server returned HTTP response code: 403 for URL: {URL}",
        f'{{"uris":["{URL}"]}}',
        f"<{URL}>",
        f"({URL})",
        URL.replace("&", "\\u0026"),
        URL.replace("&", "&amp;"),
        URL.upper(),
        URL.partition("?")[2],
        "s3 secretKey=0123abcd accessKey: AKIA",
        '{"password": "0123abcd", "accessKeyId":"AKIA"}',
        "jdbc:postgresql://AKIA:0123abcd@db/druid",
        "GET /x?Signature=0123abcd&AWSAccessKeyId=AKIA",
    ],
)
def test_secrets_are_removed(text: str) -> None:
    shown = redact(text)
    assert "0123abcd" not in shown.lower()
    assert "AKIA" not in shown
    assert redact(shown) == shown


def test_useful_text_stays() -> None:
    assert (
        redact(f"reading {URL} failed")
        == "reading http://127.0.0.1:8333/sluice/tasks/3f/1/parts/000.csv?[redacted] failed"
    )
    assert (
        redact("Object 'x' not found (line [1], column [48])")
        == "Object 'x' not found (line [1], column [48])"
    )


@given(
    st.text(
        st.characters(codec="utf-8", exclude_characters="\"'<>", exclude_categories=["Z", "C"])
    ),
    st.text(),
)
def test_no_query_string_survives(query: str, around: str) -> None:
    secret = "s3cr3t"
    assert secret not in redact(
        f"{around.replace(secret, '')} http://host/path?{query.replace(secret, '')}{secret} end"
    )


FAILURES = [
    ("Shutdown request from user", "DRUID_TASK_STOPPED", "stopped"),
    ("java.lang.OutOfMemoryError: Java heap space", "DRUID_OUT_OF_MEMORY", "memory"),
    ("java.io.IOException: No space left on device", "DRUID_DISK_FULL", "full"),
    (
        "org.apache.druid.java.util.common.RE: Max parse exceptions[0] exceeded",
        "DRUID_TASK_FAILED",
        "could not read a row",
    ),
    ("Timestamp[x] is unparseable! Event: {}", "DRUID_TASK_FAILED", "could not read a row"),
    (f"Server returned HTTP response code: 403 for URL: {URL}", "DRUID_CANNOT_READ", "not allowed"),
    (f"java.io.FileNotFoundException: {URL}", "DRUID_CANNOT_READ", "no longer"),
    ("java.net.ConnectException: Connection refused", "STORAGE_UNAVAILABLE", "object store"),
    (
        "This task disappeared on the worker where it was assigned. See overlord logs",
        "DRUID_UNAVAILABLE",
        "was lost",
    ),
    ("Failed to assign task, worker[127.0.0.1:8091] is gone", "DRUID_UNAVAILABLE", "was lost"),
    ("Lock for interval [x] was revoked", "DRUID_LOCKED", "Another Druid task"),
    ("Failed to push segments to deep storage", "DRUID_STORE_FAILED", "store"),
    ("Failed to publish segments", "DRUID_STORE_FAILED", "publish"),
    (
        "Task assignment timed out on worker [127.0.0.1:8091], never ran task [x] in timeout[PT1M]!",
        "DRUID_UNAVAILABLE",
        "was lost",
    ),
    ("something nobody has seen", "DRUID_TASK_FAILED", "failed"),
    ("", "DRUID_TASK_FAILED", "without an error message"),
]


@pytest.mark.parametrize(("text", "code", "word"), FAILURES)
def test_causes(text: str, code: str, word: str) -> None:
    problem = problem_of_task(text)
    assert (code_of(problem.code), word in problem.message) == (code, True), problem.message
    assert problem.action
    assert problem.message.endswith(".")
    assert "0123abcd" not in problem.value
    assert len(problem.value) <= 200


def test_stack_frames_are_neither_shown_nor_matched() -> None:
    text = (
        "java.lang.RuntimeException: odd at org.apache.druid.indexing.publish.Metadata.publish(Metadata.java:96) at "
        "java.base/java.lang.Thread.run(Thread.java:840)\n\t... 12 more\n\tat org.apache.druid.indexing."
    )
    assert clean(text) == "java.lang.RuntimeException: odd"
    assert problem_of_task(text).message == "The load's Druid task failed."


def test_statuses() -> None:
    running = {
        "id": "a",
        "status": "RUNNING",
        "duration": -1,
        "errorMsg": None,
        "location": {"host": None, "port": -1, "tlsPort": -1},
    }
    assert status_of_task(running) == TaskStatus(TaskState.RUNNING, False, 0, "")
    ended = {
        "id": "a",
        "status": "FAILED",
        "duration": 12,
        "errorMsg": f"bad {URL}",
        "location": {"host": "h", "port": 1, "tlsPort": -1},
    }
    assert status_of_task(ended).duration_ms == 12
    assert "0123abcd" not in status_of_task(ended).error


def test_reports() -> None:
    stats = {"processed": 5, "processedWithError": 0, "thrownAway": 0, "unparseable": 0}
    bad = {
        "determinePartitions": [],
        "buildSegments": [
            {"details": ["Timestamp[x] is unparseable! (Line: 2)"], "input": "secret,row"}
        ],
    }
    payload = {
        "rowStats": {"buildSegments": stats},
        "errorMsg": "Max parse exceptions[0] exceeded",
        "unparseableEvents": bad,
    }
    report = task_report({"ingestionStatsAndErrors": {"payload": payload}})
    assert report == TaskReport(
        5, "Max parse exceptions[0] exceeded\nunparseable: Timestamp[x] is unparseable! (Line: 2)"
    )
    assert task_report({"error": "No task reports were found for this task."}) is None
    live = {"rowStats": {"totals": {"buildSegments": stats}, "movingAverages": {}}}
    assert task_report({"ingestionStatsAndErrors": {"payload": live}}) == TaskReport(5, "")


QUERY_FAILURES = [
    (
        {
            "category": "INVALID_INPUT",
            "errorMessage": "Object 'x' not found",
            "context": {"line": "3"},
        },
        "QUERY_INVALID",
        3,
    ),
    (
        {"category": "UNCATEGORIZED", "errorMessage": "/ by zero", "context": {}},
        "QUERY_INVALID",
        None,
    ),
    ({"category": "UNSUPPORTED", "errorMessage": "no"}, "QUERY_INVALID", None),
    ({"category": "TIMEOUT", "error": "Query timeout"}, "QUERY_TIMEOUT", None),
    (
        {
            "category": "CAPACITY_EXCEEDED",
            "errorMessage": "too much",
            "error": "Resource limit exceeded",
        },
        "QUERY_TOO_LARGE",
        None,
    ),
    (
        {
            "category": "CAPACITY_EXCEEDED",
            "context": {"legacyErrorCode": "Query capacity exceeded"},
        },
        "DRUID_UNAVAILABLE",
        None,
    ),
    ({"category": "FORBIDDEN"}, "QUERY_FORBIDDEN", None),
    ({"category": "RUNTIME_FAILURE", "errorMessage": "lost"}, "DRUID_UNAVAILABLE", None),
    ({}, "DRUID_UNAVAILABLE", None),
]


@pytest.mark.parametrize(("answer", "code", "line"), QUERY_FAILURES)
def test_query_failures(answer: dict[str, object], code: str, line: int | None) -> None:
    failure = query_failure(answer, 500)
    assert failure.code == code
    assert (failure.problem.line if failure.problem.HasField("line") else None) == line
    assert failure.problem.message


BAD_GATEWAY = "<html><body><h2>HTTP ERROR 502 Bad Gateway</h2></body></html>"
OVERFLOW = "<title>Error 500 javax.servlet.ServletException: java.lang.StackOverflowError</title>"
NO_BROKER = "<title>Error 503 Service Unavailable</title>"

# Messages of Druid 33.0.0.
USER_QUERY_FAILURES = [
    # The broker crashed during the query.
    (502, BAD_GATEWAY, "QUERY_FAILED"),
    (504, "<html>Gateway Timeout</html>", "QUERY_FAILED"),
    # A historical crashed.
    (
        500,
        {
            "category": "RUNTIME_FAILURE",
            "error": "Unknown exception",
            "errorMessage": "Channel disconnected",
        },
        "QUERY_FAILED",
    ),
    (
        500,
        {"category": "RUNTIME_FAILURE", "errorMessage": "Faulty channel in resource pool"},
        "QUERY_FAILED",
    ),
    (
        500,
        {
            "category": "RUNTIME_FAILURE",
            "errorMessage": "Cannot convert 1.5 to DECIMAL(19, 19) due to overflow",
        },
        "QUERY_FAILED",
    ),
    (
        500,
        {
            "category": "RUNTIME_FAILURE",
            "errorMessage": "Exceeded memory usage when aggregating type [STRING]",
        },
        "QUERY_TOO_LARGE",
    ),
    (
        500,
        {
            "category": "RUNTIME_FAILURE",
            "errorMessage": "Not enough capacity for even one row! Need[9] but have[0].",
        },
        "QUERY_TOO_LARGE",
    ),
    (
        500,
        {
            "category": "RUNTIME_FAILURE",
            "errorMessage": "Not enough space for aggregators, needed [2,000] bytes",
        },
        "QUERY_TOO_LARGE",
    ),
    (500, {"errorMessage": "java.lang.OutOfMemoryError: Java heap space"}, "QUERY_TOO_LARGE"),
    (
        400,
        {
            "category": "INVALID_INPUT",
            "error": "Resource limit exceeded",
            "errorMessage": "beyond maximum[100000] rows",
        },
        "QUERY_TOO_LARGE",
    ),
    (500, OVERFLOW, "QUERY_TOO_EXPENSIVE"),
    # Druid was unavailable or busy.
    (503, NO_BROKER, "DRUID_UNAVAILABLE"),
    (
        503,
        {
            "error": "Unable to determine destination[/druid/v2/sql]; is your coordinator/overlord running?"
        },
        "DRUID_UNAVAILABLE",
    ),
    (
        429,
        {
            "category": "CAPACITY_EXCEEDED",
            "error": "Query capacity exceeded",
            "errorMessage": "Cannot acquire 1 merge buffers.",
        },
        "DRUID_UNAVAILABLE",
    ),
    (307, "", "DRUID_UNAVAILABLE"),
    # Errors of query_failure are unchanged.
    (400, {"category": "INVALID_INPUT", "errorMessage": "Object 'x' not found"}, "QUERY_INVALID"),
    (504, {"category": "TIMEOUT", "error": "Query timeout"}, "QUERY_TIMEOUT"),
]


@pytest.mark.parametrize(("status", "answer", "code"), USER_QUERY_FAILURES)
def test_every_query_failure_has_an_action(
    status: int, answer: dict[str, object] | str, code: str
) -> None:
    known, text = (answer, "") if isinstance(answer, dict) else ({}, answer)
    failure = user_query_failure(known, status, text)
    assert failure.code == code
    assert "othing to do" not in failure.problem.action
    assert "again until" not in failure.problem.action
    assert "<" not in failure.problem.message


def test_the_parsers_list_of_alternatives_is_left_out() -> None:
    long = "Incorrect syntax near the keyword 'FROM' at line 1, column 8.\nWas expecting one of:\n    \"/*+\" ..."
    message = query_failure(
        {"category": "INVALID_INPUT", "errorMessage": long}, 400
    ).problem.message
    assert message == "Incorrect syntax near the keyword 'FROM' at line 1, column 8."
