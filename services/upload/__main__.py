"""python -m services.upload"""

from contextlib import AsyncExitStack

from services.common import settings
from services.common.serving import allocator, server
from services.upload.app import build
from services.upload.settings import Settings


def main() -> None:
    """Runs the upload service until SIGTERM."""
    read = settings.load(Settings)
    allocator.keep_freed_buffers()

    async def start(stack: AsyncExitStack) -> None:
        await build(stack, read)

    server.run("upload", read, start)


if __name__ == "__main__":
    main()
