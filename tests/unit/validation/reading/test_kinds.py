"""The content of a file decides over its name."""

import io
import zipfile

import pytest

from sluice.validation.v1.validation_pb2 import Verdict
from tests.unit.validation.examining import Examine
from tests.unit.validation.workbooks import xls, xlsx

CSV = b"date,a\n2024-01-01,1\n"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


def archive(**entries: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as writing:
        for name, data in entries.items():
            writing.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "filename", "code"),
    [
        (CSV, "table.xlsx", "FILE_TYPE_MISMATCH"),
        (CSV, "table.xls", "FILE_TYPE_MISMATCH"),
        (xlsx([["date", "a"], ["2024-01-01", 1]]), "table.csv", "FILE_TYPE_MISMATCH"),
        (xlsx([["date", "a"], ["2024-01-01", 1]]), "table.xls", "FILE_TYPE_MISMATCH"),
        (xls([["date", "a"], ["2024-01-01", 1]]), "table.xlsx", "FILE_TYPE_MISMATCH"),
        (b"%PDF-1.7\n", "table.csv", "FILE_TYPE_MISMATCH"),
        (b"\x89PNG\r\n\x1a\n", "table.xlsx", "FILE_TYPE_MISMATCH"),
        (b"<!DOCTYPE html><html>", "table.csv", "FILE_TYPE_MISMATCH"),
        (b"\x1f\x8b\x08\x00", "table.csv", "FILE_TYPE_MISMATCH"),
        (archive(readme=b"x"), "table.xlsx", "FILE_TYPE_MISMATCH"),
        (OLE, "table.xls", "FILE_TYPE_MISMATCH"),
        (
            archive(**{"xl/workbook.xml": b"", "xl/vbaProject.bin": b""}),
            "table.xlsx",
            "FILE_HAS_MACROS",
        ),
        (b"anything", "table.xlsm", "FILE_HAS_MACROS"),
        (OLE + "Workbook\0_VBA_PROJECT\0".encode("utf-16-le"), "table.xls", "FILE_HAS_MACROS"),
        (OLE + "EncryptionInfo\0".encode("utf-16-le"), "table.xlsx", "FILE_ENCRYPTED"),
        (OLE + "EncryptionInfo\0".encode("utf-16-le"), "table.xls", "FILE_ENCRYPTED"),
        (OLE + "Workbook\0".encode("utf-16-le"), "table.xls", "FILE_CORRUPT"),
        (xlsx([["date", "a"], ["2024-01-01", 1]])[:-100], "table.xlsx", "FILE_CORRUPT"),
        (archive(**{"xl/workbook.xml": b"<nonsense"}), "table.xlsx", "FILE_CORRUPT"),
        (CSV, "table.pdf", "FILE_TYPE_UNSUPPORTED"),
        (CSV, "table", "FILE_TYPE_UNSUPPORTED"),
        (b"", "table.csv", "FILE_EMPTY"),
        (b"\xef\xbb\xbf \n\n", "table.csv", "FILE_EMPTY"),
        (b"a,b,c\n", "table.csv", "NO_ROWS"),
        (b"a,b,c", "table.csv", "NO_ROWS"),
        (b"a,b,c\n\n ,,\n", "table.csv", "NO_ROWS"),
    ],
)
def test_files_that_are_rejected_before_their_rows_are_read(
    examine: Examine, data: bytes, filename: str, code: str
) -> None:
    examined = examine(data, filename)
    assert examined.report.verdict == Verdict.VERDICT_REJECTED
    assert examined.codes[0] == code
    assert examined.report.summary
    assert examined.report.problems[0].action


@pytest.mark.parametrize("filename", ["TABLE.CSV", "a.b.csv"])
def test_the_extension_counts_in_any_case(examine: Examine, filename: str) -> None:
    assert examine(CSV, filename).passed
