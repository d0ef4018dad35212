"""Finds the browser: $CHROMIUM, the system's, or one that apt installs for root."""

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find(*, install: bool) -> str | None:
    """Return the program, or None. `install` allows installing it with apt."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and install and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "--quiet"], check=True)
        subprocess.run(
            ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"], check=True
        )
        found = shutil.which("chromium")
    return found
