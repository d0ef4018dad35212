"""python -m services.validation"""

from contextlib import AsyncExitStack

from services.common import logs, settings
from services.common.serving import server
from services.validation.app import build
from services.validation.process.memory import MemoryTooSmallError
from services.validation.settings import Settings


def main() -> None:
    """Runs the validation service until SIGTERM."""
    loaded = settings.load(Settings)

    async def start(stack: AsyncExitStack) -> None:
        await build(stack, loaded)

    try:
        server.run("validation", loaded, start)
    except MemoryTooSmallError as failure:
        logs.get().error("memory.too_small", reason=str(failure))
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
