"""Request ids of unfinished uploads, so that a repeated command resumes after Ctrl-C."""

import hashlib
import os
import sys
import uuid
from pathlib import Path


class Unfinished:
    """The request id of one upload, stored in a file below $XDG_STATE_HOME/sluice/uploads.

    An upload is identified by the path, size and modification time of the file and by the options.
    """

    def __init__(self, file: Path, *options: object) -> None:
        status = file.stat()
        parts = (file.resolve(), status.st_size, status.st_mtime_ns, *options)
        name = hashlib.sha256(
            "\0".join(map(str, parts)).encode(errors="surrogateescape")
        ).hexdigest()
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._path = Path(state) / "sluice" / "uploads" / name

    def request_id(self) -> str | None:
        """Return the id stored by an interrupted command."""
        try:
            return self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def begin(self) -> str:
        """Store and return a new id."""
        request_id = str(uuid.uuid4())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.write_text(request_id, encoding="ascii")
        except OSError as failure:
            print(
                f"This upload cannot be resumed by a later command: {failure}",
                file=sys.stderr,
            )
        return request_id

    def forget(self) -> None:
        """Delete the id: the upload is complete or was rejected."""
        self._path.unlink(missing_ok=True)
