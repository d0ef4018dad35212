"""The TCP ports of the stack: defaults, variables that change them, and whether they are free."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from local.errors import LocalStackError

HOST = "127.0.0.1"
"""The only address that the stack listens on."""

INSTANCE_OFFSETS: Mapping[str, int] = {"default": 0, "test": 10_000, "bench": 20_000}
"""Offset of each instance's ports from the defaults, so that all can run concurrently."""

DEFAULTS: Mapping[str, int] = {
    "GATEWAY": 8000,
    "UPLOAD": 50051,
    "VALIDATION": 50052,
    "DRUID_GATEWAY": 50053,
    "STATUS": 50054,
    "POSTGRES": 5433,
    "S3": 8333,
    "S3_GRPC": 8334,
    "S3_MASTER": 9333,
    "S3_MASTER_GRPC": 9334,
    "S3_VOLUME": 9335,
    "S3_VOLUME_GRPC": 9336,
    "S3_FILER": 9337,
    "S3_FILER_GRPC": 9338,
    "ZOOKEEPER": 2181,
    "DERBY": 1527,
    "DRUID_COORDINATOR": 8081,
    "DRUID_BROKER": 8082,
    "DRUID_HISTORICAL": 8083,
    "DRUID_INDEXER": 8091,
    "DRUID_ROUTER": 8888,
}

# 50051 + 10000 is in the range of ephemeral ports (32768 to 60999 on Linux), so an outgoing
# connection of another program could hold it. The services of these instances use lower ports.
_SERVICES = ("UPLOAD", "VALIDATION", "DRUID_GATEWAY", "STATUS")
_FIRST_SERVICE_PORT: Mapping[str, int] = {"test": 15_051, "bench": 25_051}


@dataclass(frozen=True)
class Ports:
    """The port of each name in `DEFAULTS`, for one instance."""

    instance: str
    numbers: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    def address(self, name: str) -> str:
        """Return `127.0.0.1:PORT` of the port called `name`."""
        return f"{HOST}:{self.numbers[name]}"


def variable(instance: str, name: str) -> str:
    """Return the environment variable that sets the port `name` of `instance`."""
    prefix = "SLUICE" if instance == "default" else f"SLUICE_{instance.upper()}"
    return f"{prefix}_PORT_{name}"


def choose(instance: str, environment: Mapping[str, str] = os.environ) -> Ports:
    """Return the ports of `instance`: the defaults, changed by `environment`.

    Raises:
        LocalStackError: the instance is unknown, a variable is not a port number, or two names
            have the same port.

    """
    if instance not in INSTANCE_OFFSETS:
        known = ", ".join(INSTANCE_OFFSETS)
        raise LocalStackError(f"unknown instance {instance!r}: choose one of {known}")
    numbers: dict[str, int] = {}
    owners: dict[int, str] = {}
    for name in DEFAULTS:
        chosen = environment.get(variable(instance, name))
        number = _default(instance, name) if not chosen else _parse(instance, name, chosen)
        if number in owners:
            raise LocalStackError(
                f"port {number} is assigned to both {owners[number]} and {name}: change "
                f"{variable(instance, owners[number])} or {variable(instance, name)}"
            )
        owners[number] = name
        numbers[name] = number
    return Ports(instance, numbers)


def require_free(ports: Ports, names: Iterable[str]) -> None:
    """Check that the named ports are free.

    Raises:
        LocalStackError: at least one is in use; names the port, its purpose, the program that uses
            it (if the system reveals it) and the variable that changes it.

    """
    taken = [name for name in names if not _is_free(ports[name])]
    if not taken:
        return
    lines = [
        f"port {ports[name]} is in use{_holder(ports[name])}, and {name} of the instance "
        f"{ports.instance!r} needs it: stop the other program, or set "
        f"{variable(ports.instance, name)} to a free port"
        for name in taken
    ]
    raise LocalStackError("\n".join(lines))


def _default(instance: str, name: str) -> int:
    base = _FIRST_SERVICE_PORT.get(instance)
    if base is not None and name in _SERVICES:
        return base + _SERVICES.index(name)
    return DEFAULTS[name] + INSTANCE_OFFSETS[instance]


def _parse(instance: str, name: str, text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= 65_535:
        raise LocalStackError(
            f"{variable(instance, name)}={text!r} is not a port: set a number from 1 to 65535"
        )
    return number


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Otherwise a port with connections in TIME_WAIT would count as used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f" (by {name}, process {connection.pid})"
    except psutil.Error:
        # Some systems reveal the listener only to root; the message works without it.
        return ""
    return ""
