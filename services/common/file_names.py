"""File names: what a person sees of one, and the format that it announces.

The table of formats is the enum FileFormat in validation.proto. Upload and validation follow the
same rule, so that no name passes the one and is refused by the other.
"""

import re
import unicodedata

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1 import validation_pb2
from sluice.validation.v1.validation_pb2 import FileFormat, FileFormatInfo

_LONGEST_SHOWN = 80


def info_of(format: "FileFormat.ValueType") -> FileFormatInfo:
    """Extensions, media type and words of a format."""
    value = FileFormat.DESCRIPTOR.values_by_number[format]
    return value.GetOptions().Extensions[validation_pb2.file_format]


FORMAT_OF = {
    extension: FileFormat.Value(each.name)
    for each in FileFormat.DESCRIPTOR.values
    for extension in info_of(FileFormat.Value(each.name)).extensions
}
"""The format that each extension announces."""

EXTENSIONS = tuple(FORMAT_OF)
"""What a file's name may end with, in any case."""


def words(extensions: tuple[str, ...] = EXTENSIONS) -> str:
    """The extensions as a list in a sentence: `.csv, .xlsx or .xls`."""
    return " or ".join(filter(None, [", ".join(extensions[:-1]), extensions[-1]]))


def visible(name: str) -> str:
    """The name without control characters, direction marks and surrounding blanks, as a person
    sees it.
    """
    kept = (char for char in name if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()


def shown(name: str) -> str:
    """The name in quotes, cut, with nothing in it that could rearrange the sentence around it."""
    seen = visible(name)
    return f"'{seen[: _LONGEST_SHOWN - 3]}...'" if len(seen) > _LONGEST_SHOWN else f"'{seen}'"


def extension(filename: str) -> str:
    """The extension in small letters, one of EXTENSIONS.

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
    """What follows the last dot of the visible name, with the dot and in small letters; or
    empty.
    """
    match = re.search(r"\.[^.]+$", visible(filename))
    return match.group().lower() if match else ""


def stem(filename: str) -> str:
    """The visible name without its extension, if it is one of EXTENSIONS."""
    seen = visible(filename)
    ending = next((each for each in EXTENSIONS if seen.lower().endswith(each)), "")
    return seen[: len(seen) - len(ending)]
