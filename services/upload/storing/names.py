"""Derives object keys from file and datasource names."""

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase

from services.common import datasource_names, errors, file_names
from sluice.common.v1.errors_pb2 import ErrorReason

PREFIX = "uploads/"
"""Key prefix of the objects that this service owns."""

MAX_STEM_CHARS = 80

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def check_datasource(name: str, allowed: Sequence[str] = ()) -> None:
    """Check that the name is valid and matches one of the patterns in `allowed`, if any.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID.
    """
    datasource_names.check(name)
    if allowed and not any(fnmatchcase(name, pattern) for pattern in allowed):
        reason = ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID
        message = f"The datasource {file_names.shown(name)} is not allowed on this server."
        action = f"Use a name that matches ALLOWED_DATASOURCES: {', '.join(allowed)[:300]}."
        raise errors.error(reason, message, column="datasource", value=name, action=action)


def safe_stem(filename: str) -> str:
    """Return a readable ASCII form of a file name, without folders and extension.

    It has 1 to 80 letters, digits, '_' and '-'. All Unicode forms of the same name give the same
    result. If nothing is left, it is `file`.
    """
    last = re.split(r"[/\\]", file_names.stem(filename))[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("_", plain)[:MAX_STEM_CHARS].strip("_-") or "file"


def object_key(
    datasource: str, filename: str, task_id: str, epoch_s: int, allowed: Sequence[str] = ()
) -> str:
    """Return the object key of a task's file.

    Its form is uploads/{datasource}/{safe stem}_{epoch}_{first 8 of the task id}{extension}.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID, FILE_TYPE_UNSUPPORTED.
    """
    check_datasource(datasource, allowed)
    extension = file_names.extension(filename)
    return f"{PREFIX}{datasource}/{safe_stem(filename)}_{epoch_s}_{task_id[:8]}{extension}"
