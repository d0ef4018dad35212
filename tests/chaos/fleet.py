"""Two replicas of each Sluice service, behind links that can break. Processes are restarted when
they die.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from local.services import GATEWAY, Services
from local.stack import Stack
from tests.chaos.plan import REPLICAS, SERVICES
from tests.chaos.proxy import Link

ROOT = Path(__file__).parents[2]

FAST_SETTINGS = {
    "ABANDONED_AFTER_S": "25",
    "SWEEP_INTERVAL_S": "4",
    "PART_SIZE_BYTES": str(5 * 1024 * 1024),
}
"""Uploads of dead processes are abandoned sooner than by default, and files of 10 MB have several
parts.
"""


class Replica:
    """A process that is restarted until `stop`."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._module, self._environment, self._log = module, environment, log
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the process; restart it whenever it exits."""
        self._keeping = asyncio.create_task(self._keep(), name=self.name)

    async def stop(self) -> None:
        """Kill the process without a restart."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def signal(self, number: signal.Signals) -> int:
        """Send a signal; return the process id, or 0 during a restart."""
        if self._process is None or self._process.returncode is not None:
            return 0
        self._process.send_signal(number)
        return self._process.pid

    async def _keep(self) -> None:
        with self._log.open("ab") as log:
            try:
                while True:
                    self._process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-m",
                        self._module,
                        cwd=ROOT,
                        env=dict(self._environment),
                        stderr=log,
                        stdout=log,
                    )
                    await self._process.wait()
                    await asyncio.sleep(0.2)
            finally:
                if self._process is not None and self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()


@dataclass(frozen=True)
class Fleet:
    """The replicas by name (`status-0`), and the links by the name of their backend."""

    replicas: Mapping[str, Replica]
    links: Mapping[str, Link]

    @property
    def gateway_url(self) -> str:
        """The gateway's address for users."""
        return f"http://127.0.0.1:{self.links[GATEWAY].port}"


async def start(stack: AsyncExitStack, real: Stack, spool: Path, logs: Path) -> Fleet:
    """Start all replicas; `stack` stops them. `real` has the stores' addresses without links, and
    the database and bucket to use.
    """
    ports = {
        f"{service}-{number}": _free_port() for service in SERVICES for number in range(REPLICAS)
    }
    backends = {
        "postgres": [_address(real.database_url)],
        "s3": [_address(real.s3_endpoint)],
        "druid": [_address(real.druid_url)],
        **{
            service: [("127.0.0.1", ports[f"{service}-{number}"]) for number in range(REPLICAS)]
            for service in SERVICES
        },
    }
    links = {name: Link(addresses) for name, addresses in backends.items()}
    for link in links.values():
        await link.open()
        stack.push_async_callback(link.close)
    seen = replace(
        real,
        database_url=_through(real.database_url, links["postgres"]),
        s3_endpoint=_through(real.s3_endpoint, links["s3"]),
        druid_url=_through(real.druid_url, links["druid"]),
        addresses={service: f"127.0.0.1:{links[service].port}" for service in SERVICES},
    )
    replicas = {}
    for name, port in ports.items():
        service = name.rpartition("-")[0]
        environment = {
            "PATH": os.environ["PATH"],
            **Services(seen, spool / name).environment(service),
            **FAST_SETTINGS,
            "BIND_ADDR": f"127.0.0.1:{port}",
        }
        module = GATEWAY if service == GATEWAY else f"services.{service}"
        replicas[name] = Replica(name, module, environment, logs / f"chaos-{name}.log")
        replicas[name].start()
        stack.push_async_callback(replicas[name].stop)
    return Fleet(replicas, links)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def _through(url: str, link: Link) -> str:
    host, port = _address(url)
    return url.replace(f"{host}:{port}", f"127.0.0.1:{link.port}", 1)
