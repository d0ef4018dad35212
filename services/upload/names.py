"""From the names that people give to the names that the object store and Druid take."""

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason

PREFIX = "uploads/"
"""Below it lie the objects that this service owns."""

EXTENSIONS = (".csv", ".xlsx", ".xls")
"""What a file's name may end with, in any case."""

MAX_STEM_CHARS = 80

_DATASOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_EXTENSION = re.compile(r"\.(csv|xlsx|xls)$", re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def check_datasource(name: str, allowed: Sequence[str] = ()) -> None:
    """Raises DATASOURCE_NAME_INVALID unless Druid takes the name, and one of `allowed`, where there are any, matches it."""
    if not _DATASOURCE.fullmatch(name):
        shown = "The datasource name is empty." if not name else f"The datasource name {_shown(name)} is not one that Druid takes."
        raise errors.error(ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID, shown, column="datasource", value=name)
    if allowed and not any(fnmatchcase(name, pattern) for pattern in allowed):
        shown = f"This server does not load into the datasource {_shown(name)}."
        action = f"Use a name that ALLOWED_DATASOURCES has: {', '.join(allowed)[:300]}."
        raise errors.error(ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID, shown, column="datasource", value=name, action=action)


def extension(filename: str) -> str:
    """.csv, .xlsx or .xls, in small letters.

    Raises:
        SluiceError: FILE_TYPE_UNSUPPORTED.
    """
    match = _EXTENSION.search(_visible(filename))
    if match is None:
        raise errors.error(
            ErrorReason.ERROR_REASON_FILE_TYPE_UNSUPPORTED,
            f"The file {_shown(filename)} is not a .csv, .xlsx or .xls file by its name.",
            column="filename",
            value=filename,
        )
    return match.group().lower()


def safe_stem(filename: str) -> str:
    """1 to 80 ASCII letters, digits, '_' and '-' that remind of the file's name, without folders and extension.

    The same for all ways to encode the same characters; `file` where nothing is left.
    """
    last = re.split(r"[/\\]", _visible(filename))[-1]
    plain = unicodedata.normalize("NFKD", _EXTENSION.sub("", last)).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("_", plain)[:MAX_STEM_CHARS].strip("_-") or "file"


def object_key(datasource: str, filename: str, task_id: str, epoch_s: int, allowed: Sequence[str] = ()) -> str:
    """Where the file of a task lies: uploads/{datasource}/{safe stem}_{epoch}_{first 8 of the task id}{extension}.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID, FILE_TYPE_UNSUPPORTED.
    """
    check_datasource(datasource, allowed)
    ending = extension(filename)
    return f"{PREFIX}{datasource}/{safe_stem(filename)}_{epoch_s}_{task_id[:8]}{ending}"


def _visible(name: str) -> str:
    """The name without control characters, direction marks and blanks around it, as a person sees it."""
    return "".join(char for char in name if unicodedata.category(char) not in ("Cc", "Cf", "Cs")).strip()


def _shown(name: str) -> str:
    """The name in quotes, cut, with nothing in it that could rearrange the sentence around it."""
    visible = _visible(name)
    return f"'{visible[:77]}...'" if len(visible) > 80 else f"'{visible}'"
