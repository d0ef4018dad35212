"""Runs PostgreSQL when started by root, because PostgreSQL refuses to run as root.

Two ways, tried in this order with PostgreSQL's `initdb --show`:

1. A user namespace that maps root to an ordinary user. The files stay root's, and it works below a
   directory of mode 0700.
2. The user `nobody` with one capability to search directories: `dac_read_search`, or
   `dac_override` in containers whose root may not create namespaces.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalStackError

_NOBODY = "nobody"


@dataclass(frozen=True)
class Launcher:
    """A way to run a program that refuses root.

    `prefix` precedes the command. `owner` is the (user, group) that must own its data; None for
    the current user.
    """

    prefix: Sequence[str]
    owner: tuple[int, int] | None


def choose(initdb: Path) -> Launcher:
    """Return the first launcher that works on this machine.

    Raises:
        LocalStackError: none works.

    """
    if os.geteuid() != 0:
        return Launcher((), None)
    failures = []
    for launcher in _candidates():
        failure = _try(launcher, initdb)
        if failure is None:
            return launcher
        failures.append(f"  {' '.join(launcher.prefix[:2])}: {failure}")
    tried = "\n".join(failures) or "  neither `unshare` nor `setpriv` (util-linux) is installed"
    raise LocalStackError(
        "PostgreSQL does not run as root, and root may neither create a user namespace nor change "
        f"its user on this machine:\n{tried}\nRun the command as an ordinary user."
    )


def change_owner(folder: Path, launcher: Launcher) -> None:
    """Change the owner of `folder` and its content to the user of `launcher`."""
    if os.geteuid() != 0:
        return
    user, group = launcher.owner or (0, 0)
    if folder.stat().st_uid == user:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), user, group, follow_symlinks=False)
    os.chown(folder, user, group)


def _candidates() -> list[Launcher]:
    nobody = pwd.getpwnam(_NOBODY)
    candidates = []
    unshare = shutil.which("unshare")
    if unshare is not None:
        numbers = (f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
        candidates.append(Launcher((unshare, "--user", *numbers, "--"), None))
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        user = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
        for capability in ("dac_read_search", "dac_override"):
            keep = (
                f"--inh-caps=-all,+{capability}",
                f"--ambient-caps=-all,+{capability}",
                # PostgreSQL finds its programs with access(2), which ignores the capabilities of
                # users other than root unless this bit is set.
                "--securebits=+no_setuid_fixup",
            )
            owner = (nobody.pw_uid, nobody.pw_gid)
            candidates.append(Launcher((setpriv, *user, *keep, "--"), owner))
    return candidates


def _try(launcher: Launcher, initdb: Path) -> str | None:
    answer = subprocess.run(
        [*launcher.prefix, str(initdb), "--show", "--pgdata=unused"],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == 0:
        return None
    lines = answer.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {answer.returncode}"
