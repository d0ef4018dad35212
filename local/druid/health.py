"""Health checks of Druid's processes over their ports."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from local.ports import HOST, Ports
from local.supervision import loopback

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class DruidHealth:
    """Health checks of the Druid on `ports`."""

    ports: Ports

    def checks(self) -> dict[str, Callable[[], str | None]]:
        """Return a check for each program, which returns what is wrong, or None."""
        return {
            "zookeeper": self._zookeeper,
            "druid_coordinator": _check(self._coordinator),
            "druid_broker": _check(self._broker),
            "druid_historical": _check(self._historical),
            "druid_indexer": _check(self._indexer),
            "druid_router": _check(self._router),
        }

    def _zookeeper(self) -> str | None:
        try:
            address = (HOST, self.ports["ZOOKEEPER"])
            with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as link:
                link.sendall(b"ruok")
                answer = link.recv(16)
        except OSError as error:
            return str(error)
        return None if answer == b"imok" else f"it answers {answer!r}"

    def _coordinator(self, client: httpx.Client) -> str | None:
        self._get(client, "DRUID_COORDINATOR", "/druid/coordinator/v1/leader")
        self._get(client, "DRUID_COORDINATOR", "/druid/indexer/v1/leader")
        return None

    def _broker(self, client: httpx.Client) -> str | None:
        self._get(client, "DRUID_BROKER", "/druid/broker/v1/readiness")
        return None

    def _historical(self, client: httpx.Client) -> str | None:
        self._get(client, "DRUID_HISTORICAL", "/druid/historical/v1/readiness")
        return None

    def _indexer(self, client: httpx.Client) -> str | None:
        # The overlord lists a worker for a while after its end, so check the worker itself, too.
        self._get(client, "DRUID_INDEXER", "/status/health")
        address = self.ports.address("DRUID_INDEXER")
        workers = self._get(client, "DRUID_COORDINATOR", "/druid/indexer/v1/workers").json()
        for entry in workers:
            if entry["worker"]["host"] == address:
                return None if entry["worker"]["capacity"] > 0 else "it has no task slot"
        return "it is not registered with the overlord yet"

    def _router(self, client: httpx.Client) -> str | None:
        # Not COUNT(*): an aggregate over a sys table may return no row while the broker starts.
        query = {
            "query": "SELECT server FROM sys.servers WHERE server_type = 'historical'",
            "resultFormat": "array",
        }
        url = f"http://{self.ports.address('DRUID_ROUTER')}"
        answer = client.post(f"{url}/druid/v2/sql", json=query).raise_for_status().json()
        self._get(client, "DRUID_ROUTER", "/druid/indexer/v1/leader")
        return None if answer else "the broker sees no historical yet"

    def _get(self, client: httpx.Client, port: str, path: str) -> httpx.Response:
        return client.get(f"http://{self.ports.address(port)}{path}").raise_for_status()


def _check(ask: Callable[[httpx.Client], str | None]) -> Callable[[], str | None]:
    """Return a check that runs `ask` and returns HTTP failures as text."""

    def check() -> str | None:
        try:
            with loopback.client(TIMEOUT_SECONDS) as client:
                return ask(client)
        except httpx.HTTPStatusError as error:
            return f"{error.request.url.path} answers {error.response.status_code}"
        except (httpx.HTTPError, ValueError) as error:
            return str(error) or type(error).__name__

    return check
