"""Runs test rings one after the other, each in a separate pytest, on one shared stack; prints the
duration of each.

`python -m tests.rings unit integration`, or `make test` for the default rings.
"""

import subprocess
import sys
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).parent.parent
WITHOUT_STACK = {"unit"}
"""Rings that need no stack."""

NO_TESTS_COLLECTED = 5


def run(*arguments: str) -> int:
    """Run a Python module with the same interpreter and its output shown; return its exit status."""
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=False).returncode


def main(rings: list[str]) -> int:
    """Run the rings; return 0 if all passed. Continues after a failed ring, but not if the stack
    does not start.
    """
    outcomes: list[tuple[str, float, int]] = []
    started_stack = False
    try:
        for ring in rings:
            began = monotonic()
            if ring not in WITHOUT_STACK and not started_stack:
                started_stack = True
                if run("local", "up", "--instance", "test"):
                    return 1
                print(f"ring stack: {(monotonic() - began) / 60:.1f} minutes", flush=True)
                began = monotonic()
            status = run("pytest", f"tests/{ring}", *(["-n", "2"] if ring in WITHOUT_STACK else []))
            outcomes.append((ring, monotonic() - began, status))
            print(f"ring {ring}: {outcomes[-1][1] / 60:.1f} minutes", flush=True)
    finally:
        if started_stack:
            run("local", "down", "--instance", "test")
    for ring, seconds, status in outcomes:
        verdict = {0: "passed", NO_TESTS_COLLECTED: "no tests"}.get(status, "failed")
        print(f"{ring:12} {verdict:12} {seconds / 60:5.1f} minutes")
    return 0 if all(status == 0 for _, _, status in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
