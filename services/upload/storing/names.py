"""From the names that people give to the names that the object store and Druid take."""

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase

from services.common import datasource_names, errors, file_names
from sluice.common.v1.errors_pb2 import ErrorReason

PREFIX = "uploads/"
"""Below it lie the objects that this service owns."""

MAX_STEM_CHARS = 80

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def check_datasource(name: str, allowed: Sequence[str] = ()) -> None:
    """Accepts a valid name that matches one of `allowed`, where there are any.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID.
    """
    datasource_names.check(name)
    if allowed and not any(fnmatchcase(name, pattern) for pattern in allowed):
        reason = ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID
        message = f"This server does not load into the datasource {file_names.shown(name)}."
        action = f"Use a name that ALLOWED_DATASOURCES has: {', '.join(allowed)[:300]}."
        raise errors.error(reason, message, column="datasource", value=name, action=action)


def safe_stem(filename: str) -> str:
    """1 to 80 ASCII letters, digits, '_' and '-' that remind of the file's name, without folders
    and extension.

    The same for all ways to encode the same characters; `file` where nothing is left.
    """
    last = re.split(r"[/\\]", file_names.stem(filename))[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("_", plain)[:MAX_STEM_CHARS].strip("_-") or "file"


def object_key(
    datasource: str, filename: str, task_id: str, epoch_s: int, allowed: Sequence[str] = ()
) -> str:
    """Where the file of a task lies: uploads/{datasource}/{safe stem}_{epoch}_{first 8 of the task
    id}{extension}.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID, FILE_TYPE_UNSUPPORTED.
    """
    check_datasource(datasource, allowed)
    ending = file_names.extension(filename)
    return f"{PREFIX}{datasource}/{safe_stem(filename)}_{epoch_s}_{task_id[:8]}{ending}"
