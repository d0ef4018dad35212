"""How Druid reads the parts of a load: by presigned URLs, or with its own S3 extension."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from services.common.s3 import split_uri
from services.druid_gateway.loads.load import Part

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

MAX_SIGNATURE_S = 7 * 24 * 3600
"""S3's maximum lifetime of a presigned URL."""


class PresignedUrls:
    """`http` input: one presigned GET URL per part. The URLs are secrets: until it expires, anyone
    who has one can read its part.
    """

    def __init__(self, s3: "S3Client") -> None:
        self._s3 = s3

    async def of(self, parts: Sequence[Part], lifetime_s: int) -> dict[str, Any]:
        uris = []
        for part in parts:
            bucket, key = split_uri(part.uri)
            expires = min(lifetime_s, MAX_SIGNATURE_S)
            uris.append(
                await self._s3.generate_presigned_url(
                    "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires
                )
            )
        return {"type": "http", "uris": uris}


class S3Extension:
    """`s3` input: Druid has druid-s3-extensions and its own keys."""

    async def of(self, parts: Sequence[Part], lifetime_s: int) -> dict[str, Any]:
        return {"type": "s3", "uris": [part.uri for part in parts]}
