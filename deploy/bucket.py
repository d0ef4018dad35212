"""Create the bucket S3_BUCKET_NAME if it is missing, and check that the keys may write to it:
`python -m deploy.bucket`.
"""

import asyncio
import sys

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from services.common import s3
from services.common.settings import S3Settings, load

TIMEOUT_S = 60.0
RETRY_S = 1.0
PROBE_KEY = "tasks/.written-by-deploy"
_NAME_RULE = "Check S3_BUCKET_NAME: 3 to 63 lower-case letters, digits, dots and hyphens."


class BucketError(Exception):
    """The bucket cannot be used. The text says why and what to do."""


async def ensure(settings: S3Settings) -> str:
    """Create the bucket if it is missing; return a sentence that says what was done.

    Raises:
        BucketError: the store rejected a request, or did not answer within TIMEOUT_S.
    """
    where = settings.aws_endpoint_url_s3 or f"AWS in {settings.aws_default_region}"
    bucket = settings.s3_bucket_name
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    return await _create(settings)
                except ClientError as rejection:
                    raise BucketError(_explain(rejection, bucket, where)) from rejection
                except ParamValidationError as invalid:
                    raise BucketError(
                        f"{bucket!r} is not a valid bucket name. {_NAME_RULE}"
                    ) from invalid
                except BotoCoreError as failure:
                    print(
                        f"waiting for the object store at {where}: {failure}",
                        file=sys.stderr,
                        flush=True,
                    )
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise BucketError(
            f"The object store at {where} did not answer within {TIMEOUT_S:g} s. Check AWS_ENDPOINT_URL_S3, and that the profile s3 is "
            "in COMPOSE_PROFILES unless you use your own store."
        ) from None


async def _create(settings: S3Settings) -> str:
    bucket, outcome = settings.s3_bucket_name, "already exists"
    async with s3.client(settings, connections=2) as client:
        try:
            await client.head_bucket(Bucket=bucket)
        except ClientError as rejection:
            if rejection.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
                raise
            outcome = "was created"
            if settings.aws_endpoint_url_s3 or settings.aws_default_region == "us-east-1":
                await client.create_bucket(Bucket=bucket)
            else:
                await client.create_bucket(
                    Bucket=bucket,
                    CreateBucketConfiguration={"LocationConstraint": settings.aws_default_region},  # type: ignore[typeddict-item]
                )
        await client.put_object(Bucket=bucket, Key=PROBE_KEY, Body=b"")
        await client.delete_object(Bucket=bucket, Key=PROBE_KEY)
    return f"The bucket {bucket} {outcome}."


def _explain(rejection: ClientError, bucket: str, where: str) -> str:
    """Return the store's error with what to do."""
    code = rejection.response.get("Error", {}).get("Code", "")
    match code:
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "403" | "AccessDenied":
            todo = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, write and delete in this bucket."
        case "InvalidBucketName" | "400":
            todo = _NAME_RULE
        case "BucketAlreadyExists":
            todo = "Another account owns this name: choose another S3_BUCKET_NAME."
        case _:
            todo = "Check AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION and S3_BUCKET_NAME."
    return f"The object store at {where} rejected the bucket {bucket}: {code or rejection}. {todo}"


def main() -> int:
    """Run the command; return its exit status."""
    settings = load(S3Settings)
    try:
        print(asyncio.run(ensure(settings)))
    except BucketError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
