"""For maintainers: `python -m local.druid.record FOLDER` writes `classes.lst`.

FOLDER contains the lists that the roles wrote during `SLUICE_RECORD_CLASSES=FOLDER make up`, a
load, a query and `make down`. Useful after a change of Druid's or Java's version; without it,
starts are only slower.
"""

from __future__ import annotations

import sys
from pathlib import Path

from local.druid.classes import CLASS_LIST


def merge(folder: Path) -> list[str]:
    """Return the sorted, distinct class names in the lists of `folder`."""
    names: set[str] = set()
    for path in sorted(folder.glob("*.lst")):
        for line in path.read_text(encoding="utf-8").splitlines():
            # Skip names that depend on one run: lambdas and call sites ("@..."), and generated or
            # relocated classes (with "source:").
            if line and not line.startswith(("#", "@")) and "source:" not in line:
                names.add(line.split()[0])
    return sorted(names)


if __name__ == "__main__":
    CLASS_LIST.write_text("\n".join(merge(Path(sys.argv[1]))) + "\n", encoding="utf-8")
