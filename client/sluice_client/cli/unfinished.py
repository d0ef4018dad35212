"""What a command remembers of an upload until it is complete, so that the same command goes on with
it after Ctrl-C.
"""

import hashlib
import os
import sys
import uuid
from pathlib import Path


class Unfinished:
    """The request id of one upload, kept in a file of its own below $XDG_STATE_HOME/sluice/uploads.

    The same file, unchanged, for the same datasource with the same options is the same upload; a
    file that was changed is another.
    """

    def __init__(self, file: Path, *order: object) -> None:
        facts = file.stat()
        parts = (file.resolve(), facts.st_size, facts.st_mtime_ns, *order)
        name = hashlib.sha256(
            "\0".join(map(str, parts)).encode(errors="surrogateescape")
        ).hexdigest()
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._path = Path(state) / "sluice" / "uploads" / name

    def request_id(self) -> str | None:
        """That of an earlier command that did not come to its end."""
        try:
            return self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def begin(self) -> str:
        """A new request id, which is remembered."""
        made = str(uuid.uuid4())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.write_text(made, encoding="ascii")
        except OSError as failure:
            print(
                f"Should this command be interrupted, it cannot go on later: {failure}",
                file=sys.stderr,
            )
        return made

    def forget(self) -> None:
        """The upload is complete, or was refused."""
        self._path.unlink(missing_ok=True)
