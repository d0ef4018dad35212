"""What a user would write to take a file in: FastAPI, which spools the form, then the whole file in
memory and one put_object. Only to be measured against; it runs in an environment of its own, see
`bench.clients.seed`.
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
    """Stores the file under its name below bench/."""
    content = await file.read()
    key = f"bench/seed-{file.filename}"
    s3.put_object(Bucket=os.environ["S3_BUCKET_NAME"], Key=key, Body=content)
    return {"key": key}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
