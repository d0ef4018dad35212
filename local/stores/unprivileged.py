"""Starts PostgreSQL where root is at work, since PostgreSQL refuses to run as root.

Two ways, tried in this order, each by running PostgreSQL's own `initdb --show` in it:

1. A user namespace in which root has the number of an ordinary user. The files stay root's, and
   nothing has to be readable by anybody else: it works below a directory of mode 0700.
2. The user `nobody`, keeping the one capability to look through directories (a container whose
   root may not make namespaces has `dac_override`, else `dac_read_search` is enough).
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
    """How to run a program that refuses root.

    `prefix` goes before the command; `owner` is the (user, group) that its data must belong to,
    or None when the data belong to whoever starts it.
    """

    prefix: Sequence[str]
    owner: tuple[int, int] | None


def choose(initdb: Path) -> Launcher:
    """Return the first way of running PostgreSQL that works on this machine.

    Raises:
        LocalStackError: none does.

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
        "PostgreSQL does not run as root, and this machine lets root neither make a user "
        f"namespace nor change its user:\n{tried}\nRun the same command as an ordinary user."
    )


def give(folder: Path, launcher: Launcher) -> None:
    """Make `folder` and all in it belong to the user that `launcher` runs programs as."""
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
                # access(2), by which PostgreSQL finds its own programs, forgets the capabilities
                # of a user who is not root unless this bit is set.
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
