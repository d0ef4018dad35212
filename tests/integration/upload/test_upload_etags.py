"""An object is known by its size and checksum: its ETag is made of MD5s in some stores only."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import crc32c
import pytest

from services.common import s3
from services.common.errors import SluiceError
from services.common.settings import S3Settings
from services.upload.ports import StoredPart
from services.upload.storing.s3 import S3ObjectStore, is_made_of
from tests.integration.upload.faulty_s3 import (
    EncryptedETags,
    Fault,
    FaultyS3,
    OpaqueETags,
    serving,
)
from tests.integration.upload.running import MIB, Bucket

PARTS = [random.Random(1).randbytes(5 * MIB), random.Random(2).randbytes(MIB)]

STORES = [None, EncryptedETags(), OpaqueETags()]
NAMES = ["MD5", "SSE-KMS", "opaque"]


@pytest.fixture(params=STORES, ids=NAMES)
def server(request: pytest.FixtureRequest) -> FaultyS3:
    made = FaultyS3()
    made.etags, made.forgets = request.param, True
    return made


@pytest.fixture
async def other_bucket(server: FaultyS3) -> AsyncIterator[Bucket]:
    with serving(server) as url:
        settings = S3Settings(
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            aws_default_region="us-east-1",
            aws_endpoint_url_s3=url,
            s3_bucket_name="etags",
        )
        async with s3.client(settings) as client:
            await client.create_bucket(Bucket="etags")
            made = Bucket(client, settings)
            yield made
            await made.clear()
            await client.delete_bucket(Bucket="etags")


@pytest.fixture
def store(other_bucket: Bucket) -> S3ObjectStore:
    return S3ObjectStore(other_bucket.client, other_bucket.name)


async def put_parts(store: S3ObjectStore, uri: str, multipart_id: str) -> list[StoredPart]:
    parts = []
    for number, data in enumerate(PARTS, 1):
        checksum = crc32c.crc32c(data)
        parts.append(await store.put_part(uri, multipart_id, number, bytearray(data), checksum))
    return parts


@pytest.mark.parametrize("resumable", [False, True], ids=["at once", "resumable"])
async def test_a_completion_whose_answer_was_lost_is_found(
    store: S3ObjectStore,
    other_bucket: Bucket,
    server: FaultyS3,
    resumable: bool,
) -> None:
    uri = store.uri("uploads/file.csv")
    multipart_id = await store.open_multipart(uri, resumable=resumable)
    parts = await put_parts(store, uri, multipart_id)
    if resumable:
        # As another process finds them.
        listed = await store.parts(uri, multipart_id)
        assert listed is not None
        assert [part.etag for part in listed] == [part.etag for part in parts]
        parts = listed
    server.faults = [Fault("complete", times=1, status="500 Internal Server Error", late=True)]
    await store.complete_multipart(uri, multipart_id, parts)
    assert server.seen.count("complete") == 2
    assert await other_bucket.read(uri) == b"".join(PARTS)


async def test_another_object_in_its_place_is_not_taken_for_it(store: S3ObjectStore) -> None:
    uri = store.uri("uploads/file.csv")
    multipart_id = await store.open_multipart(uri, resumable=False)
    parts = await put_parts(store, uri, multipart_id)
    await store.abort_multipart(uri, multipart_id)
    other = bytearray(b"other")
    await store.put(uri, other, crc32c.crc32c(other))
    with pytest.raises(SluiceError) as failure:
        await store.complete_multipart(uri, multipart_id, parts)
    assert failure.value.code == "STORAGE_UNAVAILABLE"


async def test_other_bytes_of_that_size_are_not_taken_for_it(bucket: Bucket) -> None:
    """By the stack's S3 server, which tells the checksum of an object as S3 does."""
    store = S3ObjectStore(bucket.client, bucket.name)
    uri = store.uri("uploads/file.csv")
    multipart_id = await store.open_multipart(uri, resumable=False)
    parts = await put_parts(store, uri, multipart_id)
    await store.complete_multipart(uri, multipart_id, parts)
    head = await bucket.client.head_object(
        Bucket=bucket.name,
        Key="uploads/file.csv",
        ChecksumMode="ENABLED",
    )
    size, checksum = head["ContentLength"], head["ChecksumCRC32C"]
    assert is_made_of(parts, size, checksum)
    other = [replace(part, crc32c=1) for part in parts]
    assert not is_made_of(other, size, checksum)
    assert is_made_of([replace(part, crc32c=None) for part in parts], size, checksum)
    # A store that tells none, or that of all bytes.
    assert is_made_of(other, size, "")
    assert is_made_of(other, size, "DCOCuQ==")


async def test_an_object_that_is_not_there_is_not_taken_for_complete(store: S3ObjectStore) -> None:
    uri = store.uri("uploads/file.csv")
    multipart_id = await store.open_multipart(uri, resumable=False)
    parts = await put_parts(store, uri, multipart_id)
    await store.abort_multipart(uri, multipart_id)
    with pytest.raises(SluiceError):
        await store.complete_multipart(uri, multipart_id, parts)
