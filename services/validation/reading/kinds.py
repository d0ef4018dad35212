"""Detect the format of a file from its content, and compare it with its extension."""

import zipfile
from pathlib import Path, PurePath

from services.common import file_names
from services.validation.reading.faults import FileFault, encrypted
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import FileFormat

_WITH_MACROS = {".xlsm", ".xltm", ".xlam"}
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BIFF = (b"\x09\x00", b"\x09\x02", b"\x09\x04")
"""A worksheet stream without a container, from before Excel 5 (1993)."""
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


def detect_format(path: Path, filename: str) -> "FileFormat.ValueType":
    """Return the format of the file, which has to be the one of its extension.

    Raises:
        FileFault: FILE_TYPE_UNSUPPORTED, FILE_TYPE_MISMATCH, FILE_ENCRYPTED, FILE_HAS_MACROS,
        FILE_EMPTY, FILE_CORRUPT.
    """
    extension, named = _format_of_name(filename)
    head = _head(path)
    if not head:
        raise FileFault(ErrorReason.ERROR_REASON_FILE_EMPTY, "The file is empty.")
    found, content = _format_of_content(path, head)
    if found != named:
        raise _mismatch(extension, content)
    if found == FileFormat.FILE_FORMAT_XLS and _has_stream(path, "_VBA_PROJECT"):
        raise _macros()
    return named


def detect_format_from_head(path: Path, filename: str) -> "FileFormat.ValueType":
    """Return the result of `detect_format` for a file whose end is missing, as far as its beginning
    decides it.

    Raises:
        FileFault: FILE_TYPE_UNSUPPORTED, FILE_TYPE_MISMATCH, FILE_ENCRYPTED.
    """
    extension, named = _format_of_name(filename)
    head = _head(path)
    if head.startswith((_ZIP, _EMPTY_ZIP, _OLE)):
        # The directory, which has the kind of archive or document, may be at the end.
        if named == FileFormat.FILE_FORMAT_CSV:
            raise _mismatch(
                extension, "a zip archive" if head.startswith(b"PK") else "an Office document"
            )
        return named
    found, content = _format_of_content(path, head)
    if found != named:
        raise _mismatch(extension, content)
    return named


def is_text_from_head(path: Path, filename: str) -> bool:
    """Return whether the file is text and its extension agrees: no later byte changes that."""
    try:
        return detect_format_from_head(path, filename) == FileFormat.FILE_FORMAT_CSV
    except FileFault:
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_OLE) and _has_stream(path, "EncryptionInfo"):
        raise encrypted()
    return head


def _format_of_name(filename: str) -> tuple[str, "FileFormat.ValueType"]:
    """Return the extension and its format."""
    extension = file_names.last_extension(filename)
    if extension in _WITH_MACROS:
        raise _macros()
    named = file_names.FORMAT_OF.get(extension)
    if named is None:
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_TYPE_UNSUPPORTED,
            f"The name {file_names.shown(filename)} does not end in {file_names.words()}.",
            value=extension,
        )
    return extension, named


def _mismatch(extension: str, content: str) -> FileFault:
    return FileFault(
        ErrorReason.ERROR_REASON_FILE_TYPE_MISMATCH,
        f"The extension of the file is {extension}, but its content is {content}.",
        value=content,
    )


def _macros() -> FileFault:
    return FileFault(
        ErrorReason.ERROR_REASON_FILE_HAS_MACROS,
        "The workbook contains macros, which are programs.",
    )


def _format_of_content(path: Path, head: bytes) -> tuple["FileFormat.ValueType | None", str]:
    """Return the format, or None for a format that is not supported, and a name for it."""
    if head.startswith((_ZIP, _EMPTY_ZIP)):
        return _format_of_zip(path)
    if head.startswith(_OLE):
        if _has_stream(path, "Workbook") or _has_stream(path, "Book"):
            return FileFormat.FILE_FORMAT_XLS, "an .xls workbook"
        return None, "an Office document without a workbook"
    if head.startswith(_BIFF) and head[2:4] in (b"\x04\x00", b"\x06\x00", b"\x08\x00"):
        return FileFormat.FILE_FORMAT_XLS, "an .xls workbook"
    for magic, content in _OTHERS.items():
        if head.startswith(magic):
            return None, content
    if head.lstrip().lower().startswith(_HTML):
        return None, "an HTML or XML page"
    return FileFormat.FILE_FORMAT_CSV, "text"


def _format_of_zip(path: Path) -> tuple["FileFormat.ValueType | None", str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {PurePath(name.replace("\\", "/")).name.lower() for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_CORRUPT,
            "The file is a truncated or damaged zip archive.",
        ) from None
    if "vbaproject.bin" in names:
        raise _macros()
    if "workbook.xml" in names:
        return FileFormat.FILE_FORMAT_XLSX, "an .xlsx workbook"
    if "workbook.bin" in names:
        return None, "a binary .xlsb workbook"
    return None, "a zip archive"


def _has_stream(path: Path, name: str) -> bool:
    """Return whether an OLE compound file has a stream. Its names are UTF-16, in any case."""
    wanted = name.lower().encode("utf-16-le") + b"\0\0"
    with path.open("rb") as file:
        tail = b""
        while block := file.read(_PIECE_BYTES):
            if wanted in (tail + block).lower():
                return True
            tail = block[-len(wanted) :]
    return False
