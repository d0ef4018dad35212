"""Baseline for uploads: FastAPI spools the form, reads the whole file into memory, and stores it
with one put_object. Runs in a separate environment, see `bench.clients.seed`.
"""

import os
import sys

import boto3
import uvicorn
from botocore.config import Config
from fastapi import FastAPI, UploadFile

app = FastAPI()
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
    config=Config(s3={"addressing_style": "path"}),
)


@app.post("/upload", status_code=202)
async def upload(file: UploadFile) -> dict[str, str]:
    """Store the file below bench/."""
    content = await file.read()
    key = f"bench/seed-{file.filename}"
    s3.put_object(Bucket=os.environ["S3_BUCKET_NAME"], Key=key, Body=content)
    return {"key": key}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
