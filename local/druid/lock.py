"""For maintainers: `python -m local.druid.lock` resolves pom.xml into jars.lock, with Maven.

Needed only when Druid's version changes. jgo's resolver cannot do it: it fails on two of Druid's
POMs.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from local.druid.jars import Jar, sha256_of, write_lock
from local.errors import LocalStackError

POM = Path(__file__).with_name("pom.xml")


def resolve(repository: Path) -> list[Jar]:
    """Let Maven resolve `pom.xml` into the empty folder `repository` and return its class path."""
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalStackError("mvn was not found: install Maven to create a new lock file")
    answer = repository / "classpath.txt"
    subprocess.run(
        [
            maven,
            "--batch-mode",
            "--quiet",
            f"--file={POM}",
            f"-Dmaven.repo.local={repository}",
            "-DincludeScope=runtime",
            f"-Dmdep.outputFile={answer}",
            "dependency:build-classpath",
        ],
        check=True,
    )
    paths = [Path(text) for text in answer.read_text(encoding="utf-8").strip().split(":")]
    return [_jar(path, repository) for path in paths]


def _jar(path: Path, repository: Path) -> Jar:
    *group, artifact, version, file_name = path.relative_to(repository).parts
    plain = f"{artifact}-{version}"
    classifier = file_name.removesuffix(".jar").removeprefix(plain).removeprefix("-")
    parts = [".".join(group), artifact, version, *([classifier] if classifier else [])]
    return Jar(":".join(parts), sha256_of(path), path.stat().st_size)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write_lock(resolve(Path(folder)))
