"""File names: how they are displayed, and the file format that their extension indicates.

The enum FileFormat in validation.proto lists the formats. Upload and validation share this rule, so
that validation never rejects a name that upload has accepted.
"""

import re
import unicodedata

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1 import validation_pb2
from sluice.validation.v1.validation_pb2 import FileFormat, FileFormatInfo

_MAX_QUOTED_CHARS = 80


def info_of(format: "FileFormat.ValueType") -> FileFormatInfo:
    """Return the extensions, media type and display name of a format."""
    value = FileFormat.DESCRIPTOR.values_by_number[format]
    return value.GetOptions().Extensions[validation_pb2.file_format]


FORMAT_OF = {
    extension: FileFormat.Value(each.name)
    for each in FileFormat.DESCRIPTOR.values
    for extension in info_of(FileFormat.Value(each.name)).extensions
}
"""The format of each extension."""

EXTENSIONS = tuple(FORMAT_OF)
"""The supported extensions in lower case. Case does not matter in file names."""


def words(extensions: tuple[str, ...] = EXTENSIONS) -> str:
    """Return the extensions as a list for a sentence: `.csv, .xlsx or .xls`."""
    return " or ".join(filter(None, [", ".join(extensions[:-1]), extensions[-1]]))


def visible(name: str) -> str:
    """Return the name without invisible characters and surrounding blanks.

    Invisible are control characters, format characters such as U+200F, and lone surrogates.
    """
    kept = (char for char in name if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()


def shown(name: str) -> str:
    """Return the visible name in quotes for a message, shortened to 80 characters."""
    seen = visible(name)
    if len(seen) > _MAX_QUOTED_CHARS:
        seen = f"{seen[: _MAX_QUOTED_CHARS - 3]}..."
    return f"'{seen}'"


def extension(filename: str) -> str:
    """Return the extension in lower case, one of EXTENSIONS.

    Raises:
        SluiceError: FILE_TYPE_UNSUPPORTED.
    """
    found = last_extension(filename)
    if found not in FORMAT_OF:
        reason = ErrorReason.ERROR_REASON_FILE_TYPE_UNSUPPORTED
        message = f"The name {shown(filename)} does not end in {words()}."
        raise errors.error(reason, message, column="filename", value=filename)
    return found


def last_extension(filename: str) -> str:
    """Return the last dot of the visible name and what follows it, in lower case; or empty."""
    match = re.search(r"\.[^.]+$", visible(filename))
    return match.group().lower() if match else ""


def stem(filename: str) -> str:
    """Return the visible name without its extension if that is one of EXTENSIONS."""
    seen = visible(filename)
    ending = next((each for each in EXTENSIONS if seen.lower().endswith(each)), "")
    return seen[: len(seen) - len(ending)]
