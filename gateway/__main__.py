"""`python -m gateway`: runs the gateway."""

from contextlib import AsyncExitStack

from gateway.app import build
from gateway.settings import Settings
from services.common.serving import allocator
from services.common.serving.server import run
from services.common.settings import load


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = load(Settings)
    allocator.keep_freed_buffers()

    async def start(stack: AsyncExitStack) -> None:
        await build(stack, settings)

    run("gateway", settings, start)


if __name__ == "__main__":
    main()
