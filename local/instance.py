"""One stack: set-up, start, health, faults and stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rich.console import Console

from local import ports, setup
from local.credentials import Credentials
from local.druid.cluster import Druid
from local.druid.health import DruidHealth
from local.errors import LocalStackError
from local.filelock import exclusive
from local.paths import PROJECT, CachePaths, InstancePaths
from local.services import GATEWAY, PORTS, Services
from local.stack import Stack
from local.stores.postgres import Postgres
from local.stores.seaweed import BUCKET, REGION, Seaweed
from local.supervision import health, processes, sockets
from local.supervision.programs import Program
from local.supervision.supervisor import ProcessState, Supervisor
from local.supervision.waiting import wait_until_healthy

HEALTHY_SECONDS = 240.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1

_DRUID = frozenset(
    {
        "zookeeper",
        "druid_coordinator",
        "druid_broker",
        "druid_historical",
        "druid_indexer",
        "druid_router",
    }
)

FAMILIES: Mapping[str, Callable[[str], bool]] = {
    "druid": lambda name: name in _DRUID,
    "services": lambda name: name in PORTS,
    "stores": lambda name: name not in PORTS,
}
"""Names that `only` accepts in addition to program names."""


class Instance:
    """A stack with its own ports and data; `name` is one of `local.ports.INSTANCE_OFFSETS`.

    `only` names the programs (or families: druid, services, stores) to start; empty: all.

    Raises:
        LocalStackError: the name is unknown, or programs cannot run in the project's folder.

    """

    def __init__(
        self,
        name: str = "default",
        only: Iterable[str] = (),
        console: Console | None = None,
    ) -> None:
        _require_usable(PROJECT)
        self.name = name
        self.paths = InstancePaths.of(name)
        self.console = console or Console(stderr=True)
        self.supervisor = Supervisor(self.paths)
        self._only = tuple(only)
        self._ports = _running_ports(self.paths.stack) or ports.choose(name)
        self._cache = CachePaths.of()

    @property
    def stack(self) -> Stack:
        """The addresses and settings of the running stack.

        Raises:
            LocalStackError: the stack is not running.

        """
        return Stack.read(self.paths.stack)

    def set_up(self) -> None:
        """Prepare everything that is missing, without starting it."""
        with exclusive(self.paths.lock):
            self._prepare()

    def start(self, timeout_seconds: float = HEALTHY_SECONDS) -> bool:
        """Set up, start and wait until healthy; return False if the stack was already running.

        Raises:
            LocalStackError: a port is in use, or a program did not become healthy in time.

        """
        with exclusive(self.paths.lock):
            fresh = not self.supervisor.running()
            if fresh:
                # Ignore the ports of a stack.json that a crash left behind.
                self._ports = ports.choose(self.name)
                # Orphans of a killed process manager would hold ports and data.
                processes.end_all(self.paths.root, seconds=8)
                self._prepare()
                programs = self._programs()
                ports.require_free(self._ports, [port for p in programs for port in p.ports])
                self._describe(programs).write(self.paths.stack)
                self.supervisor.start(programs)
        # Without the lock, so that `make down` can stop a start that does not become healthy.
        self.wait_healthy(timeout_seconds=timeout_seconds)
        return fresh

    def stop(self) -> bool:
        """Stop everything, with SIGKILL after 15 s; return False if nothing was running."""
        with exclusive(self.paths.lock):
            was_running = self.supervisor.running()
            if was_running:
                self.supervisor.shut_down()
                deadline = time.monotonic() + STOP_SECONDS
                while processes.of_instance(self.paths.root) and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
            killed = processes.end_all(self.paths.root, seconds=3)
            if was_running and killed:
                self.console.print(f"killed: {', '.join(killed)}")
            self.paths.stack.unlink(missing_ok=True)
            sockets.remove_folder(self.paths.root)
            self._seaweed().remove_sockets()
            return was_running or bool(killed)

    def wait_healthy(self, *programs: str, timeout_seconds: float = HEALTHY_SECONDS) -> None:
        """Wait until the named programs of the running stack (default: all) are healthy.

        Raises:
            LocalStackError: a program is not healthy in time, or cannot be started; names it,
                the reason and its log.

        """
        stack = self.stack
        available = self._checks(stack)
        checks = {name: available[name] for name in programs or stack.programs}
        wait_until_healthy(checks, self.supervisor, self.paths.logs, timeout_seconds, self.console)

    def problems(self) -> dict[str, str | None]:
        """Check each program of the running stack once: what is wrong with it, or None."""
        stack = self.stack
        checks = self._checks(stack)
        return {name: checks[name]() for name in stack.programs}

    def states(self) -> list[ProcessState]:
        """Return the state of each program in the process manager."""
        return self.supervisor.states()

    def pid(self, program: str) -> int:
        """Return the process id of `program`.

        Raises:
            LocalStackError: the program does not exist or is not running.

        """
        state = self.supervisor.state(program)
        if state.pid == 0:
            raise LocalStackError(f"{program} is not running: it is {state.state}")
        return state.pid

    def kill(self, program: str, signal_number: int) -> int:
        """Send a signal (`signal.SIGKILL`, `SIGSTOP`, ...) to `program`; return its process id.

        The process manager restarts a program that dies.
        """
        pid = self.pid(program)
        os.kill(pid, signal_number)
        return pid

    def stop_program(self, program: str) -> None:
        """Stop one program and keep it stopped."""
        self.supervisor.stop_program(program)

    def start_program(self, program: str) -> None:
        """Start a stopped program; return immediately (see `wait_healthy`)."""
        self.supervisor.start_program(program)

    def restart(self, program: str) -> None:
        """Restart one program gracefully; return once it is started."""
        self.supervisor.stop_program(program)
        self.supervisor.start_program(program)

    def log(self, program: str) -> Path:
        """Return the log file of `program`."""
        return self.paths.logs / f"{program}.log"

    def environment(self, program: str) -> dict[str, str]:
        """Return the environment of a Sluice process, to start another replica by hand."""
        return Services(self.stack, self.paths.spool).environment(program)

    def _prepare(self) -> None:
        self.paths.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.paths.data, self.paths.config, self.paths.logs, self.paths.spool):
            folder.mkdir(exist_ok=True, mode=0o700)
        setup.fill_caches(self._cache, self.console)
        self._postgres().prepare()
        self._seaweed().prepare()
        self._druid().prepare()

    def _programs(self) -> list[Program]:
        services = Services(self._describe([]), self.paths.spool)
        programs = [
            self._postgres().program(),
            self._seaweed().program(),
            *self._druid().programs(),
            *services.programs(),
        ]
        if not self._only:
            return programs
        names = {program.name for program in programs}
        for word in self._only:
            if word not in names and word not in FAMILIES:
                known = ", ".join([*FAMILIES, *sorted(names)])
                raise LocalStackError(f"unknown program {word!r}: choose from {known}")
        return [program for program in programs if self._wanted(program.name)]

    def _wanted(self, name: str) -> bool:
        return any(
            word == name or (word in FAMILIES and FAMILIES[word](name)) for word in self._only
        )

    def _checks(self, stack: Stack) -> dict[str, Callable[[], str | None]]:
        checks: dict[str, Callable[[], str | None]] = {
            "postgres": self._postgres().problem,
            "s3": self._seaweed().problem,
            **DruidHealth(self._ports).checks(),
        }
        for name in PORTS:
            if name != GATEWAY:
                checks[name] = _service_check(stack.addresses[name])
        checks[GATEWAY] = lambda: health.gateway_problem(stack.gateway_url)
        return checks

    def _describe(self, programs: Iterable[Program]) -> Stack:
        seaweed = self._seaweed()
        credentials = self._credentials()
        return Stack(
            instance=self.name,
            gateway_url=f"http://{self._ports.address('GATEWAY')}",
            addresses={name: self._ports.address(port) for name, port in PORTS.items()},
            database_url=self._postgres().url,
            s3_endpoint=seaweed.endpoint,
            s3_region=REGION,
            s3_bucket=BUCKET,
            s3_access_key=credentials.s3_access_key,
            s3_secret_key=credentials.s3_secret_key,
            druid_url=self._druid().url,
            supervisor_socket=str(self.supervisor.socket),
            logs=str(self.paths.logs),
            programs=tuple(program.name for program in programs),
            ports=dict(self._ports.numbers),
        )

    def _credentials(self) -> Credentials:
        return Credentials.load_or_create(self.paths.credentials)

    def _postgres(self) -> Postgres:
        return Postgres(self.paths, self._ports, self._credentials())

    def _seaweed(self) -> Seaweed:
        return Seaweed(self.paths, self._ports, self._credentials())

    def _druid(self) -> Druid:
        return Druid(self.paths, self._cache, self._ports)


def _running_ports(stack: Path) -> ports.Ports | None:
    """Return the ports of a running stack, regardless of the shell's current variables."""
    if not stack.exists():
        return None
    running = Stack.read(stack)
    return ports.Ports(running.instance, running.ports)


def _service_check(address: str) -> Callable[[], str | None]:
    return lambda: health.service_problem(address)


def _require_usable(project: Path) -> None:
    """Reject characters that Java's class path and supervisord's settings cannot have in a path."""
    found = sorted({letter for letter in str(project) if letter in ":;#\"'\n"})
    if found:
        raise LocalStackError(
            f"the project is in {str(project)!r}, and Java cannot read a path with {' '.join(found)}: "
            "move it to another folder"
        )
