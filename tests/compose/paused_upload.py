"""Run by a test in a separate container: uploads a file, pauses half-way until it reads a line, and
continues.

Prints `half`, and at the end the task id. Arguments: datasource, rows.
"""

import asyncio
import sys
from pathlib import Path

from sluice_client import SluiceClient

FILE = Path("/tmp/half.csv")  # noqa: S108 - inside the container
HEADER = "order_date,order_id,region,quantity,revenue\n"


def line(number: int) -> str:
    return f"2024-03-{number % 28 + 1:02d},S{number:09d},{'north' if number % 2 else 'south'},{number % 9},{number % 997}.5\n"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def send(datasource: str, size: int) -> None:
    paused = False

    def progress(sent: int) -> None:
        nonlocal paused
        if sent > size // 2 and not paused:
            paused = True
            say("half")
            sys.stdin.readline()

    async with SluiceClient(
        "upload:50051", "status:50054", "validation:50052", "druid_gateway:50053"
    ) as client:
        say(await client.upload(FILE, datasource, progress=progress))


size = FILE.write_text(HEADER + "".join(line(number) for number in range(int(sys.argv[2]))))
asyncio.run(send(sys.argv[1], size))
