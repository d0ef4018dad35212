"""Makes the bucket of S3_BUCKET_NAME unless it is there, and proves that its keys may write:
`python -m deploy.bucket`.
"""

import asyncio
import sys

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from services.common import s3
from services.common.settings import S3Settings, load

PATIENCE_S = 60.0
RETRY_S = 1.0
PROBE_KEY = "tasks/.written-by-deploy"
_NAME_RULE = "Check S3_BUCKET_NAME: 3 to 63 lower-case letters, digits, dots and hyphens."


class BucketError(Exception):
    """What is wrong, for a person."""


async def ensure(settings: S3Settings) -> str:
    """One sentence on what was done.

    Raises:
        BucketError: the store refuses, or did not answer within PATIENCE_S.
    """
    where = settings.aws_endpoint_url_s3 or f"AWS in {settings.aws_default_region}"
    bucket = settings.s3_bucket_name
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await _make(settings)
                except ClientError as refusal:
                    raise BucketError(_refused(refusal, bucket, where)) from refusal
                except ParamValidationError as invalid:
                    raise BucketError(
                        f"{bucket!r} cannot be a bucket's name. {_NAME_RULE}"
                    ) from invalid
                except BotoCoreError as away:
                    print(
                        f"waiting for the object store at {where}: {away}",
                        file=sys.stderr,
                        flush=True,
                    )
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise BucketError(
            f"The object store at {where} did not answer within {PATIENCE_S:g} s. Check AWS_ENDPOINT_URL_S3, and that the profile s3 is "
            "in COMPOSE_PROFILES unless you have a store of your own."
        ) from None


async def _make(settings: S3Settings) -> str:
    bucket = settings.s3_bucket_name
    async with s3.client(settings, connections=2) as client:
        names = set()
        try:
            await client.head_bucket(Bucket=bucket)
            names.add(bucket)
        except ClientError as refusal:
            if refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
                raise
        if not names:
            if settings.aws_endpoint_url_s3 or settings.aws_default_region == "us-east-1":
                await client.create_bucket(Bucket=bucket)
            else:
                await client.create_bucket(
                    Bucket=bucket,
                    CreateBucketConfiguration={"LocationConstraint": settings.aws_default_region},  # type: ignore[typeddict-item]
                )
        await client.put_object(Bucket=bucket, Key=PROBE_KEY, Body=b"")
        await client.delete_object(Bucket=bucket, Key=PROBE_KEY)
    return f"The bucket {bucket} was there." if names else f"The bucket {bucket} was made."


def _refused(refusal: ClientError, bucket: str, where: str) -> str:
    """The store's refusal with what to do about it."""
    code = refusal.response.get("Error", {}).get("Code", "")
    match code:
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "403" | "AccessDenied":
            todo = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, write and delete in this bucket."
        case "InvalidBucketName" | "400":
            todo = _NAME_RULE
        case "BucketAlreadyExists":
            todo = "The name belongs to somebody else: choose another S3_BUCKET_NAME."
        case _:
            todo = "Check AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION and S3_BUCKET_NAME."
    return f"The object store at {where} refused the bucket {bucket}: {code or refusal}. {todo}"


def main() -> int:
    """Exit status."""
    settings = load(S3Settings)
    try:
        print(asyncio.run(ensure(settings)))
    except BucketError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
