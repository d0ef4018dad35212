"""python -m services.upload"""

from contextlib import AsyncExitStack

from services.common import settings
from services.common.serving import allocator, server
from services.upload.app import build
from services.upload.settings import Settings


def main() -> None:
    """Run the upload service until SIGTERM."""
    loaded = settings.load(Settings)
    allocator.keep_freed_buffers()

    async def start(stack: AsyncExitStack) -> None:
        await build(stack, loaded)

    server.run("upload", loaded, start)


if __name__ == "__main__":
    main()
