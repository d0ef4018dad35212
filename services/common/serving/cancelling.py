"""Cancels asyncio tasks."""

import asyncio
from typing import Any


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended. How they ended does not matter."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
