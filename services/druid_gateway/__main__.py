"""Runs the service: `python -m services.druid_gateway`."""

from contextlib import AsyncExitStack

from services.common.serving.server import run
from services.common.settings import S3Settings, load
from services.druid_gateway.app import build
from services.druid_gateway.settings import Settings

if __name__ == "__main__":
    settings = load(Settings)
    s3 = load(S3Settings) if settings.druid_input == "http" else None

    async def main(stack: AsyncExitStack) -> None:
        await build(stack, settings, s3)

    run("druid_gateway", settings, main)
