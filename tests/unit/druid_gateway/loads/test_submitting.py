"""Submitting loads: how Druid reads the parts, and for how long."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.common import s3
from services.common.errors import SluiceError
from services.common.settings import S3Settings
from services.druid_gateway.loads.inputs import MAX_SIGNATURE_S, PresignedUrls, S3Extension
from services.druid_gateway.loads.load import Column, ColumnType, Load, Mode, Part
from services.druid_gateway.loads.submitting import submit
from tests.unit.druid_gateway.fake_druid import FakeDruid

JANUARY = 1_577_836_800_000
PARTS = [Part(f"s3://bucket/tasks/t/1/parts/{i:03}.csv", 500_000) for i in range(4)]
LOAD = Load(
    "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    1,
    "sales",
    Mode.APPEND,
    [Column("a", ColumnType.LONG)],
    PARTS,
    JANUARY,
    JANUARY,
    2_000_000,
)


class Lifetimes(S3Extension):
    """Records its calls."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def of(self, parts: Sequence[Part], lifetime_s: int) -> dict[str, Any]:
        self.asked.append(lifetime_s)
        return await super().of(parts, lifetime_s)


async def test_urls_outlive_the_deadline_by_15_minutes() -> None:
    druid, inputs = FakeDruid(), Lifetimes()
    first = await submit(druid, inputs, LOAD, 600)
    again = await submit(druid, inputs, LOAD, 600)
    assert (first.new, again.new) == (True, False)
    assert (first.interval, first.granularity) == (again.interval, again.granularity)
    assert inputs.asked == [1500, 1500]
    io_config = druid.specs[0]["spec"]["ioConfig"]
    assert io_config["inputSource"] == {"type": "s3", "uris": [part.uri for part in PARTS]}


@pytest.mark.parametrize(
    ("slots", "rows", "expected"),
    [(4, 2_000_000, 2), (1, 2_000_000, 1), (None, 2_000_000, 1), (9, 2_000, 1)],
)
async def test_sub_tasks_leave_a_slot_free(slots: int | None, rows: int, expected: int) -> None:
    druid = FakeDruid(slots=slots)
    await submit(druid, S3Extension(), replace(LOAD, rows=rows), 60)
    assert druid.specs[0]["spec"]["tuningConfig"]["maxNumConcurrentSubTasks"] == expected


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key"])
async def test_an_invalid_part_uri_is_rejected(uri: str) -> None:
    druid = FakeDruid()
    with pytest.raises(SluiceError) as raised:
        await submit(druid, S3Extension(), replace(LOAD, parts=[Part(uri, 1)]), 60)
    assert raised.value.code == "REQUEST_INVALID"
    assert druid.specs == []


async def test_presigned_urls() -> None:
    settings = S3Settings(
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
        aws_endpoint_url_s3="http://127.0.0.1:1",
        s3_bucket_name="bucket",
    )
    async with s3.client(settings) as client:
        source = await PresignedUrls(client).of([Part("s3://bucket/tasks/a b+c/000.csv", 1)], 10**9)
    assert source["type"] == "http"
    [uri] = source["uris"]
    assert uri.startswith("http://127.0.0.1:1/bucket/tasks/a%20b%2Bc/000.csv?")
    assert f"X-Amz-Expires={MAX_SIGNATURE_S}" in uri
    assert "X-Amz-Signature=" in uri
