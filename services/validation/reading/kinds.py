"""What a file is, told from its first bytes, against what its name says."""

import zipfile
from pathlib import Path, PurePath

from services.common import file_names
from services.validation.reading.faults import FileFault
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import FileFormat

_WITH_MACROS = {".xlsm", ".xltm", ".xlam"}
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BIFF = (b"\x09\x00", b"\x09\x02", b"\x09\x04")
"""A worksheet stream without a container, as before 1993."""
_OTHERS = {
    b"%PDF-": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"BZh": "a bzip2 archive",
    b"\x7fELF": "a program",
    b"{\\rtf": "an RTF document",
}
_HTML = (b"<!doctype html", b"<html", b"<?xml", b"<table")
_PIECE_BYTES = 4 * 1024 * 1024


def tell(path: Path, filename: str) -> "FileFormat.ValueType":
    """The format of the file, which is the one its name says.

    Raises:
        FileFault: FILE_TYPE_UNSUPPORTED, FILE_TYPE_MISMATCH, FILE_ENCRYPTED, FILE_HAS_MACROS,
        FILE_EMPTY, FILE_CORRUPT.
    """
    extension, named = _named(filename)
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise FileFault(ErrorReason.ERROR_REASON_FILE_EMPTY, "The file has no byte.")
    if head.startswith(_OLE) and _holds_stream(path, "EncryptionInfo"):
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_ENCRYPTED, "The workbook is protected by a password."
        )
    found, what = _look(path, head)
    if found == named:
        if found == FileFormat.FILE_FORMAT_XLS and _holds_stream(path, "_VBA_PROJECT"):
            raise _macros()
        return named
    if found is None and what is None and named != FileFormat.FILE_FORMAT_CSV:
        what = "neither a workbook nor text"
    raise _mismatch(extension, what)


def tell_from_head(path: Path, filename: str) -> "FileFormat.ValueType":
    """What `tell` will say of a file whose end is not there yet, as far as its beginning settles
    it.

    Raises:
        FileFault: FILE_TYPE_UNSUPPORTED, FILE_TYPE_MISMATCH, FILE_ENCRYPTED.
    """
    extension, named = _named(filename)
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_OLE) and _holds_stream(path, "EncryptionInfo"):
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_ENCRYPTED, "The workbook is protected by a password."
        )
    if head.startswith((_ZIP, _EMPTY_ZIP, _OLE)):
        # Which kind of archive or document it is stands in its directory, which may be at its end.
        if named == FileFormat.FILE_FORMAT_CSV:
            raise _mismatch(
                extension, "a zip archive" if head.startswith(b"PK") else "an Office document"
            )
        return named
    found, what = _look(path, head)
    if found != named:
        raise _mismatch(extension, what)
    return named


def is_text_from_head(path: Path, filename: str) -> bool:
    """Whether the file is text, as its name says: then its beginning has settled what it is."""
    try:
        return tell_from_head(path, filename) == FileFormat.FILE_FORMAT_CSV
    except FileFault:
        return False


def _named(filename: str) -> tuple[str, "FileFormat.ValueType"]:
    """The extension and what it says."""
    extension = file_names.last_extension(filename)
    if extension in _WITH_MACROS:
        raise _macros()
    named = file_names.FORMAT_OF.get(extension)
    if named is None:
        message = f"The name {file_names.shown(filename)} does not end in {file_names.words()}."
        raise FileFault(ErrorReason.ERROR_REASON_FILE_TYPE_UNSUPPORTED, message, value=extension)
    return extension, named


def _mismatch(extension: str, what: str | None) -> FileFault:
    message = f"The file is called {extension}, but its content is {what or 'neither a workbook nor text'}."
    return FileFault(ErrorReason.ERROR_REASON_FILE_TYPE_MISMATCH, message, value=what or "")


def _macros() -> FileFault:
    return FileFault(
        ErrorReason.ERROR_REASON_FILE_HAS_MACROS, "The workbook holds macros, which are programs."
    )


def _look(path: Path, head: bytes) -> tuple["FileFormat.ValueType | None", str | None]:
    """The format, or what the file is instead."""
    if head.startswith((_ZIP, _EMPTY_ZIP)):
        return _look_into_zip(path)
    if head.startswith(_OLE):
        if _holds_stream(path, "Workbook") or _holds_stream(path, "Book"):
            return FileFormat.FILE_FORMAT_XLS, "an .xls workbook"
        return None, "an Office document without a workbook"
    if head.startswith(_BIFF) and head[2:4] in (b"\x04\x00", b"\x06\x00", b"\x08\x00"):
        return FileFormat.FILE_FORMAT_XLS, "an .xls workbook"
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return None, what
    if head.lstrip().lower().startswith(_HTML):
        return None, "an HTML or XML page"
    return FileFormat.FILE_FORMAT_CSV, "text"


def _look_into_zip(path: Path) -> tuple["FileFormat.ValueType | None", str | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {PurePath(name.replace("\\", "/")).name.lower() for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_CORRUPT,
            "The file is a zip archive that is cut off or damaged.",
        ) from None
    if "vbaproject.bin" in names:
        raise _macros()
    if "workbook.xml" in names:
        return FileFormat.FILE_FORMAT_XLSX, "an .xlsx workbook"
    if "workbook.bin" in names:
        return None, "a binary .xlsb workbook"
    return None, "a zip archive"


def _holds_stream(path: Path, name: str) -> bool:
    """Whether a compound file's directory names a stream. Names in it are UTF-16, in any case of
    letters.
    """
    wanted = name.lower().encode("utf-16-le") + b"\0\0"
    with path.open("rb") as file:
        tail = b""
        while block := file.read(_PIECE_BYTES):
            if wanted in (tail + block).lower():
                return True
            tail = block[-len(wanted) :]
    return False
