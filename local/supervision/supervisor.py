"""The process manager: supervisord's settings file, start, and remote calls.

supervisord starts the programs, restarts them when they die, rotates their logs, and stops them
with a signal, then with SIGKILL. Its Unix socket is accessible only by its owner.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local.errors import LocalStackError
from local.paths import InstancePaths, write_private
from local.supervision import loopback, sockets
from local.supervision.programs import Group, Program

MARKER = "SLUICE_INSTANCE_ROOT"
"""Environment variable of all processes of an instance; its value is the instance's root."""

# Variables of the user's shell that could misconfigure a process or leak credentials to it.
_NOT_INHERITED = ("AWS_", "PG", "JAVA_", "JDK_", "_JAVA", "DRUID_", "PYTHON", "COVERAGE_")
_NOT_INHERITED_EXACTLY = ("DATABASE_URL", "S3_BUCKET_NAME", "CLASSPATH", "BIND_ADDR")

_RUNNING = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})


@dataclass(frozen=True)
class ProcessState:
    """The state of a program in supervisord; `pid` is 0 if it is not running."""

    name: str
    group: str
    state: str
    pid: int
    started: int
    description: str


class Supervisor:
    """The supervisord of one instance."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths

    @property
    def socket(self) -> Path:
        """supervisord's Unix socket."""
        return sockets.folder(self._paths.root) / "supervisor.sock"

    @property
    def log(self) -> Path:
        """supervisord's log file."""
        return self._paths.logs / "supervisord.log"

    def running(self) -> bool:
        """Return whether supervisord responds."""
        return self.pid() is not None

    def pid(self) -> int | None:
        """Return supervisord's process id, or None if it is not running."""
        if not self.socket.exists():
            return None
        try:
            return int(self._call("getPID"))
        except httpx.TransportError:
            return None

    def start(self, programs: Sequence[Program]) -> None:
        """Start supervisord in the background, which starts all `programs` concurrently.

        Raises:
            LocalStackError: supervisord did not start.

        """
        sockets.make_folder(self._paths.root)
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        settings = self._paths.config / "supervisord.conf"
        # The services' settings contain passwords.
        write_private(settings, self.settings(programs))
        # It daemonizes into its own session, so that Ctrl-C reaches only the command line, which
        # stops everything in order.
        answer = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(settings)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._paths.root,
            env=_inherited({MARKER: str(self._paths.root)}),
            check=False,
        )
        if answer.returncode != 0:
            raise LocalStackError(
                f"the process manager did not start (exit code {answer.returncode}): {(answer.stderr + answer.stdout).strip()}"
            )

    def shut_down(self) -> None:
        """Request that supervisord stops everything and exits; return immediately."""
        self._call("shutdown")

    def states(self) -> list[ProcessState]:
        """Return the state of each program."""
        return [
            ProcessState(
                name=entry["name"],
                group=entry["group"],
                state=entry["statename"],
                pid=entry["pid"],
                started=entry["start"],
                description=entry["description"],
            )
            for entry in self._call("getAllProcessInfo")
        ]

    def state(self, program: str) -> ProcessState:
        """Return the state of `program`.

        Raises:
            LocalStackError: the program does not exist.

        """
        states = self.states()
        for state in states:
            if state.name == program:
                return state
        known = ", ".join(state.name for state in states)
        raise LocalStackError(f"this stack has no program {program!r}; it has {known}")

    def stop_program(self, program: str) -> None:
        """Stop one program and wait for its end. It is not restarted."""
        state = self.state(program)
        if state.state in _RUNNING:
            self._call("stopProcess", f"{state.group}:{state.name}", True)

    def start_program(self, program: str) -> None:
        """Start one stopped program; return immediately."""
        state = self.state(program)
        if state.state not in _RUNNING:
            self._call("startProcess", f"{state.group}:{state.name}", False)

    def _call(self, method: str, *arguments: Any) -> Any:
        body = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
        # stopProcess returns after the program's end.
        with loopback.client(30, socket=self.socket) as client:
            answer = client.post(
                "http://supervisor/RPC2", content=body, headers={"Content-Type": "text/xml"}
            )
        answer.raise_for_status()
        (value,), _ = xmlrpc.client.loads(answer.text)
        return value

    def settings(self, programs: Sequence[Program]) -> str:
        """Return supervisord's settings file for `programs`."""
        lines = [
            "[supervisord]",
            f"logfile={_escape(self.log)}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            "loglevel=info",
            f"pidfile={_escape(self._paths.root / 'supervisord.pid')}",
            f"childlogdir={_escape(self._paths.logs)}",
            "umask=077",
            # Without it, supervisord warns when root starts it.
            *(["user=root"] if os.geteuid() == 0 else []),
            "",
            "[unix_http_server]",
            f"file={_escape(self.socket)}",
            "chmod=0600",
            "",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "",
        ]
        # Groups stop one after the other, the highest priority first.
        groups: Mapping[Group, int] = {"services": 900, "stores": 500, "base": 100}
        for group, priority in groups.items():
            members = [program.name for program in programs if program.group == group]
            if members:
                names = ",".join(members)
                lines += [f"[group:{group}]", f"programs={names}", f"priority={priority}", ""]
        for program in programs:
            lines += self._program(program)
        return "\n".join(lines) + "\n"

    def _program(self, program: Program) -> list[str]:
        variables = ",".join(
            f'{name}="{_escape(value)}"' for name, value in program.environment.items()
        )
        return [
            f"[program:{program.name}]",
            f"command={_escape(shlex.join(program.command))}",
            f"directory={_escape(program.directory)}",
            *([f"environment={variables}"] if variables else []),
            "autostart=true",
            "autorestart=true",
            "startsecs=1",
            # The pause grows by one second per failed start: two hours in total.
            "startretries=120",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={program.stop_seconds}",
            "stopasgroup=false",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_escape(self._paths.logs / program.name)}.log",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=1",
            "",
        ]


def _inherited(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_INHERITED) and name not in _NOT_INHERITED_EXACTLY
    }
    # Never use a proxy for the loopback.
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **extra}


def _escape(value: object) -> str:
    """Escape `value` for supervisord's settings, where % starts an expansion."""
    return str(value).replace("%", "%%")
