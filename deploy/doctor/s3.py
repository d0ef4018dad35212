"""Checks of the object store: bucket, permissions, clock and abandoned multipart uploads."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from deploy.doctor.findings import Finding, clock, fault, ok, warning
from deploy.doctor.target import Target

SUBJECT = "s3"
PROBE_KEY = "tasks/.written-by-doctor"
ABANDONED_AFTER = timedelta(days=1)


async def check(target: Target) -> list[Finding]:
    """Run all checks; writes, reads and deletes a small object."""
    variables = target.variables
    bucket = variables["S3_BUCKET_NAME"]
    client = aioboto3.Session().client(
        "s3",
        region_name=variables.get("AWS_DEFAULT_REGION") or "us-east-1",
        endpoint_url=target.s3_endpoint,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=AioConfig(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 1},
            proxies={},
        ),
    )
    try:
        async with client as s3:
            answer = await s3.head_bucket(Bucket=bucket)
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            found = [clock(SUBJECT, (now - datetime.now(UTC)).total_seconds())]
            await s3.put_object(Bucket=bucket, Key=PROBE_KEY, Body=b"1")
            await s3.get_object(Bucket=bucket, Key=PROBE_KEY)
            await s3.delete_object(Bucket=bucket, Key=PROBE_KEY)
            found.append(
                ok(
                    SUBJECT,
                    f"the bucket {bucket} exists, and its objects can be written, read and deleted",
                )
            )
            uploads = (await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", [])
            old = [
                upload["Key"]
                for upload in uploads
                if datetime.now(UTC) - upload["Initiated"] > ABANDONED_AFTER
            ]
            if old:
                found.append(
                    warning(
                        SUBJECT,
                        f"{len(old)} multipart uploads are older than a day",
                        "Add a lifecycle rule that aborts them.",
                    )
                )
            return found
    except ClientError as rejection:
        code = rejection.response.get("Error", {}).get("Code", "")
        todo = {
            "404": "docker compose run --rm bucket",
            "NoSuchBucket": "docker compose run --rm bucket",
            "RequestTimeTooSkewed": "Run NTP on both machines.",
        }.get(
            code,
            "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, write and delete in this bucket.",
        )
        return [
            fault(
                SUBJECT, f"rejects {rejection.operation_name} on the bucket {bucket}: {code}", todo
            )
        ]
    except BotoCoreError as failure:
        where = target.s3_endpoint or "AWS"
        return [
            fault(
                SUBJECT,
                f"does not answer at {where}: {type(failure).__name__}",
                "Check AWS_ENDPOINT_URL_S3; the profile s3 starts a server.",
            )
        ]
