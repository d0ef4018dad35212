"""python -m services.validation"""

from contextlib import AsyncExitStack

from services.common import server, settings
from services.validation.app import build
from services.validation.settings import Settings


def main() -> None:
    """Runs the validation service until SIGTERM."""
    read = settings.load(Settings)

    async def start(stack: AsyncExitStack) -> None:
        await build(stack, read)

    server.run("validation", read, start)


if __name__ == "__main__":
    main()
