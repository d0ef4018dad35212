"""The Druid of one instance: its files and its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.druid import classes
from local.druid.jars import Jar, read_lock
from local.druid.java import COMMON, MAIN_CLASS, OPENED, argument_file, class_path, java
from local.druid.roles import Role, common_settings, roles
from local.paths import CachePaths, InstancePaths
from local.ports import HOST, Ports
from local.supervision.programs import Group, Program

ZOOKEEPER_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_LOG_SETTINGS = Path(__file__).with_name("log4j2.xml")


@dataclass(frozen=True)
class Druid:
    """The Druid of one instance."""

    paths: InstancePaths
    cache: CachePaths
    ports: Ports

    @property
    def url(self) -> str:
        """The router's URL, for SQL, tasks and segments."""
        return f"http://{self.ports.address('DRUID_ROUTER')}"

    def prepare(self) -> None:
        """Create the folders and write the settings of each process."""
        jars = read_lock()
        self._scratch.mkdir(parents=True, exist_ok=True)
        (self._data / "zookeeper").mkdir(parents=True, exist_ok=True)
        self._write("zookeeper", "zoo.cfg", _properties(self._zookeeper_settings()))
        self._write("zookeeper", "java.args", argument_file(self._zookeeper_arguments(jars)))
        shared = common_settings(self.ports, self._data)
        for role in self._roles():
            port = {"druid.plaintextPort": str(self.ports[role.port])}
            settings = {**shared, **port, **role.settings}
            self._write(role.druid_name, "runtime.properties", _properties(settings))
            self._write(role.druid_name, "java.args", argument_file(self._arguments(role, jars)))

    def programs(self) -> list[Program]:
        """Return the programs of ZooKeeper and Druid's roles."""
        programs = [self._program("zookeeper", "zookeeper", ("ZOOKEEPER",), "base")]
        for role in self._roles():
            # The coordinator runs the metadata database on a separate port.
            ports = (role.port, "DERBY") if role.druid_name == "coordinator" else (role.port,)
            programs.append(self._program(role.program, role.druid_name, ports, "stores"))
        return programs

    @property
    def _config(self) -> Path:
        return self.paths.config / "druid"

    @property
    def _data(self) -> Path:
        return self.paths.data / "druid"

    @property
    def _scratch(self) -> Path:
        return self._data / "scratch"

    def _roles(self) -> list[Role]:
        return roles(self._data, self._scratch)

    def _program(self, name: str, folder: str, ports: Sequence[str], group: Group) -> Program:
        return Program(
            name=name,
            group=group,
            command=(str(java()), f"@{self._config / folder / 'java.args'}"),
            directory=self._config / folder,
            ports=ports,
            stop_seconds=6,
        )

    def _write(self, folder: str, name: str, text: str) -> None:
        path = self._config / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _java_arguments(self, process: str, jars: Sequence[Jar]) -> list[str]:
        return [
            *OPENED,
            *COMMON,
            *classes.arguments(process, jars, self.cache),
            f"-Djava.io.tmpdir={self._scratch}",
            f"-Dlog4j2.configurationFile={_LOG_SETTINGS}",
            "-cp",
            class_path(jars, self.cache.jars),
        ]

    def _arguments(self, role: Role, jars: Sequence[Jar]) -> list[str]:
        settings = self._config / role.druid_name / "runtime.properties"
        return [
            *role.memory,
            f"-Dderby.stream.error.file={self._scratch / 'derby.log'}",
            f"-Ddruid.properties.file={settings}",
            *self._java_arguments(role.druid_name, jars),
            MAIN_CLASS,
            "server",
            role.druid_name,
        ]

    def _zookeeper_arguments(self, jars: Sequence[Jar]) -> list[str]:
        return [
            "-Xms32m",
            "-Xmx64m",
            "-XX:TieredStopAtLevel=1",
            "-Dzookeeper.jmx.log4j.disable=true",
            *self._java_arguments("zookeeper", jars),
            ZOOKEEPER_CLASS,
            str(self._config / "zookeeper" / "zoo.cfg"),
        ]

    def _zookeeper_settings(self) -> dict[str, str]:
        return {
            "tickTime": "2000",
            "dataDir": str(self._data / "zookeeper"),
            "clientPort": str(self.ports["ZOOKEEPER"]),
            "clientPortAddress": HOST,
            "admin.enableServer": "false",
            "maxClientCnxns": "0",
            "autopurge.snapRetainCount": "3",
            "autopurge.purgeInterval": "1",
            # Used by the health check.
            "4lw.commands.whitelist": "ruok",
        }


def _properties(settings: Mapping[str, str]) -> str:
    """Return `settings` as a Java properties file, with backslashes escaped."""
    lines = [f"{key}={value}" for key, value in settings.items()]
    return "".join(line.replace("\\", "\\\\") + "\n" for line in lines)
