"""`python -m services.status` serves; `python -m services.status migrate` migrates the database and
exits.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from services.common import logs, settings
from services.common.serving import server
from services.status.app import build
from services.status.db.migrate import MigrationError, migrate
from services.status.settings import Settings


def main() -> None:
    """Runs the command of the command line."""
    loaded = settings.load(Settings)

    async def serve(stack: AsyncExitStack) -> None:
        await build(stack, loaded)

    match sys.argv[1:]:
        case []:
            server.run("status", loaded, serve)
        case ["migrate"]:
            logs.configure("status", loaded.log_level, loaded.log_format)
            try:
                asyncio.run(migrate(loaded.database_url))
            except MigrationError as failure:
                sys.exit(f"{failure.code}: {failure}")
            logs.get().info("database.migrated")
        case _:
            sys.exit("usage: python -m services.status [migrate]")


if __name__ == "__main__":
    main()
