"""Parsing a form must not depend on how its bytes are split into chunks."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from gateway.intake.destination import destination
from gateway.intake.form import Body, Form, Limits
from gateway.rest.uploads import read_fields
from services.common.errors import SluiceError
from sluice.common.v1.task_pb2 import LoadMode
from tests.unit.gateway.edge_fakes import CONTENT_TYPE, END, LIMITS, cut, form, part

FIELD = part("datasource_name", b"sales")
FILE = part("file", b"a,b\r\n1,2\r\n", "a.csv")
CUTS = st.lists(st.integers(0, 10_000), max_size=30)

Outcome = tuple[dict[str, str], str, bytes] | str


async def outcome(read: Form, named: dict[str, str] | None = None) -> Outcome:
    """Fields, file name and bytes of a form, or its error code."""
    try:
        fields, file = await read_fields(read, named or {})
        return fields, file.filename, b"".join([piece async for piece in file.pieces()])
    except SluiceError as failure:
        return failure.code


@given(
    content=st.binary(max_size=600) | st.text("\r\n-frontie", max_size=200).map(str.encode),
    cuts=CUTS,
)
def test_a_file_arrives_byte_by_byte_as_it_was_sent(content: bytes, cuts: list[int]) -> None:
    # Content that contains the boundary would be a different form; clients avoid that.
    if b"\r\n--frontier" in b"\r\n" + content + b"\r\n":
        return
    body = FIELD + part("mode", b"replace") + part("file", content, "Übersicht 2024.csv") + END
    expected: Outcome = "FILE_EMPTY"
    if content:
        expected = ({"datasource_name": "sales", "mode": "replace"}, "Übersicht 2024.csv", content)
    assert asyncio.run(outcome(form(*cut(body, cuts)))) == expected


WRONG = {
    "the field after the file": (FILE + FIELD + END, "FIELD_ORDER"),
    "no field": (FILE + END, "FIELD_ORDER"),
    "another field after the file": (FIELD + FILE + part("mode", b"replace") + END, "FIELD_ORDER"),
    "no file": (FIELD + END, "FIELD_MISSING"),
    "no part": (END, "FIELD_MISSING"),
    "no file chosen": (FIELD + part("file", b"", "") + END, "FIELD_MISSING"),
    "a file that is a field": (FIELD + part("file", b"a,b") + END, "FIELD_MISSING"),
    "the file under another name": (FIELD + part("upload", b"a,b", "a.csv") + END, "FIELD_MISSING"),
    "an unknown field": (FIELD + part("modus", b"replace") + FILE + END, "REQUEST_INVALID"),
    "a field that is too long": (
        part("datasource_name", b"s" * 300) + FILE + END,
        "REQUEST_INVALID",
    ),
    "a field that is not text": (part("datasource_name", b"\xff") + FILE + END, "REQUEST_INVALID"),
    "a second file": (FIELD + FILE + part("file", b"a", "b.csv") + END, "SECOND_FILE"),
    "a second file under another name": (
        FIELD + FILE + part("other", b"a", "b.csv") + END,
        "SECOND_FILE",
    ),
    "an empty file": (FIELD + part("file", b"", "a.csv") + END, "FILE_EMPTY"),
    "a file that is too long": (FIELD + part("file", bytes(4097), "a.csv") + END, "FILE_TOO_LARGE"),
    "a body that is too long": (FIELD + FILE + END + bytes(LIMITS.body_bytes), "FILE_TOO_LARGE"),
    "no end": (FIELD + FILE, "MULTIPART_MALFORMED"),
    "an end within the file": (FIELD + FILE[:-5], "MULTIPART_MALFORMED"),
    "an end within the headers": ((FIELD + FILE)[: len(FIELD) + 30], "MULTIPART_MALFORMED"),
    "a header that is too long": (
        FIELD + part("file", b"a", "x" * 300) + END,
        "MULTIPART_MALFORMED",
    ),
    "too many parts": (part("datasource_name", b"s") * 40 + FILE + END, "MULTIPART_MALFORMED"),
    "no boundary": (b"a,b\n" * 20_000, "FILE_TOO_LARGE"),
    "nothing": (b"", "MULTIPART_MALFORMED"),
}


@pytest.mark.parametrize(("body", "code"), WRONG.values(), ids=WRONG)
async def test_errors_do_not_depend_on_the_chunks(body: bytes, code: str) -> None:
    for size in (1, 7, 64, 1 << 20):
        if size == 1 and len(body) > 20_000:
            continue
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        assert await outcome(form(*pieces)) == code, size


async def test_a_body_without_a_boundary_is_rejected_early() -> None:
    roomy = Limits(file_bytes=1 << 30, field_bytes=256, part_header_bytes=256, idle_s=5)
    read = form(*[bytes(4096)] * 100, limits=roomy)
    assert await outcome(read) == "MULTIPART_MALFORMED"
    assert read.body.received < 100_000


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x"]
)
def test_only_multipart_forms_are_accepted(kind: str) -> None:
    with pytest.raises(SluiceError) as refused:
        Form(Body(lambda: asyncio.sleep(0, {}), LIMITS), kind, LIMITS)
    assert refused.value.code == "MULTIPART_MALFORMED"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("filename=a.csv", "a.csv"),
        ("filename=\"a b.csv\"; filename*=utf-8''other.csv", "a b.csv"),
        ("filename*=utf-8''%E2%82%AC%20rates.csv", "€ rates.csv"),
        ("filename*=iso-8859-1'en'%A3%20rates.csv", "£ rates.csv"),
        ('filename="..\\..\\evil.csv"', "..\\..\\evil.csv"),
        ('filename="../../evil.csv"', "../../evil.csv"),
    ],
)
async def test_the_file_name_is_plain_data(header: str, name: str) -> None:
    head = (
        f'--frontier\r\nContent-Disposition: form-data; name="file"; {header}\r\n\r\na\r\n'.encode()
    )
    assert await outcome(form(FIELD + head + END)) == ({"datasource_name": "sales"}, name, b"a")


async def test_form_fields_override_query_parameters() -> None:
    named = {"datasource_name": "address", "mode": "replace"}
    assert await outcome(form(FIELD + FILE + END), named) == (
        {"datasource_name": "sales", "mode": "replace"},
        "a.csv",
        b"a,b\r\n1,2\r\n",
    )
    assert await outcome(form(FILE + END), named) == (named, "a.csv", b"a,b\r\n1,2\r\n")


async def test_a_disconnect_is_not_a_malformed_form() -> None:
    with pytest.raises(ClientDisconnect):
        await outcome(form((FIELD + FILE)[:-20], gone=True))


async def test_a_silent_client_times_out() -> None:
    async def silent() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    hasty = Limits(file_bytes=1, field_bytes=1, part_header_bytes=1, idle_s=0.01)
    assert await outcome(Form(Body(silent, hasty), CONTENT_TYPE, hasty)) == "UPLOAD_STALLED"


def test_fields_become_a_destination() -> None:
    said = destination(
        {"datasource_name": "s", "mode": "replace", "allow_duplicate": "True"}, "my-key", "10.0.0.1"
    )
    assert (said.datasource, said.mode, said.allow_duplicate) == (
        "s",
        LoadMode.LOAD_MODE_REPLACE,
        True,
    )
    assert (said.request_id, said.client) == ("my-key", "10.0.0.1")
    first, second = (
        destination({"datasource_name": "s"}, None, ""),
        destination({"datasource_name": "s"}, None, ""),
    )
    assert (first.mode, first.allow_duplicate) == (LoadMode.LOAD_MODE_APPEND, False)
    assert first.request_id != second.request_id


@pytest.mark.parametrize(
    ("fields", "key", "column"),
    [
        ({"mode": "upsert"}, None, "mode"),
        ({"allow_duplicate": "maybe"}, None, "allow_duplicate"),
        ({}, "", "Idempotency-Key"),
        ({}, "two words", "Idempotency-Key"),
        ({}, "x" * 129, "Idempotency-Key"),
    ],
)
def test_invalid_fields_are_named(fields: dict[str, str], key: str | None, column: str) -> None:
    with pytest.raises(SluiceError) as refused:
        destination({"datasource_name": "s", **fields}, key, "")
    assert (refused.value.code, refused.value.problem.column) == ("REQUEST_INVALID", column)
