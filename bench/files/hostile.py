"""Files meant to break a reader."""

import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

MIB = 1024 * 1024
ROW = b"2024-01-02,North,some text,1.5,2\n"
HEADER = b"date,region,note,amount,count\n"
_SHEET = (
    '<?xml version="1.0"?>{doctype}<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{dimension}'
    "<sheetData>{rows}</sheetData></worksheet>"
)
_WORKBOOK = (
    '<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
_RELATIONS = '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>'
)


def make(folder: Path) -> Iterator[Path]:
    """Create and yield the files one by one; each may be deleted before the next is created."""
    for name, write in _TEXTS.items():
        path = folder / f"{name}.csv"
        with path.open("wb") as file:
            write(file)
        yield path
    for name, pack in _WORKBOOKS.items():
        path = folder / f"{name}.xlsx"
        pack(path)
        yield path


def _repeat(file: IO[bytes], piece: bytes, size: int) -> None:
    block = piece * max(1, MIB // len(piece))
    for _ in range(size // len(block)):
        file.write(block)


def _one_line(file: IO[bytes]) -> None:
    file.write(HEADER)
    _repeat(file, b"x", 500 * MIB)


def _newlines(file: IO[bytes]) -> None:
    file.write(HEADER)
    _repeat(file, b"\n", 60 * MIB)


def _unclosed_quote(file: IO[bytes]) -> None:
    file.write(HEADER + ROW * 5 + b'2024-01-02,"North,some text,1.5,2\n')
    _repeat(file, ROW, 100 * MIB)


def _open_quotes(file: IO[bytes]) -> None:
    file.write(HEADER)
    _repeat(file, b'2024-01-02,"a""b,c,1.5,2\n', 8 * MIB)


def _million_columns(file: IO[bytes]) -> None:
    for line in range(3):
        file.write(b",".join(b"%d" % (line + n) for n in range(1_000_000)) + b"\n")


def _nul_bytes(file: IO[bytes]) -> None:
    file.write(HEADER + ROW * 1000)
    _repeat(file, b"2024-01-02,No\0rth,some text,1.5,2\n", 20 * MIB)


def _utf16(file: IO[bytes]) -> None:
    file.write(b"\xff\xfe" + HEADER.decode().encode("utf-16-le"))
    _repeat(file, ROW.decode().encode("utf-16-le"), 100 * MIB)


def _cr_only(file: IO[bytes]) -> None:
    file.write(HEADER.replace(b"\n", b"\r"))
    _repeat(file, ROW.replace(b"\n", b"\r"), 100 * MIB)


def _ragged(file: IO[bytes]) -> None:
    chance = random.Random(1)
    file.write(HEADER)
    for _ in range(300_000):
        file.write(b",".join([b"2024-01-02", *[b"1"] * chance.randrange(12)]) + b"\n")


def _long_integers(file: IO[bytes]) -> None:
    file.write(b"date,id,a,b,c\n")
    for number in range(500_000):
        file.write(b"2024-01-02,%030d,1,2,3\n" % (10**29 + number))


_TEXTS: dict[str, Callable[[IO[bytes]], None]] = {
    "one-line-of-500-mb": _one_line,
    "60-mb-of-newlines": _newlines,
    "unclosed-quote-in-100-mb": _unclosed_quote,
    "open-quotes": _open_quotes,
    "a-million-columns": _million_columns,
    "nul-bytes": _nul_bytes,
    "utf-16": _utf16,
    "cr-only": _cr_only,
    "ragged": _ragged,
    "30-digit-integers": _long_integers,
}


def frame(
    archive: zipfile.ZipFile,
    relations: str = f'<Relationship Id="rId3" Type="{_OFFICE}/styles" Target="styles.xml"/>',
) -> None:
    """Write the parts of a one-sheet workbook except the sheet."""
    archive.writestr("[Content_Types].xml", _TYPES)
    archive.writestr(
        "_rels/.rels",
        _RELATIONS.format(
            f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        ),
    )
    archive.writestr("xl/workbook.xml", _WORKBOOK)
    sheet = f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    archive.writestr("xl/_rels/workbook.xml.rels", _RELATIONS.format(sheet + relations))


def _workbook(
    path: Path,
    rows: str,
    *,
    dimension: str = "",
    doctype: str = "",
    strings: bytes = b"",
    entries: int = 0,
) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        frame(
            archive,
            f'<Relationship Id="rId2" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
            if strings
            else "",
        )
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            _SHEET.format(rows=rows, dimension=dimension, doctype=doctype),
        )
        if strings:
            with archive.open("xl/sharedStrings.xml", "w", force_zip64=True) as file:
                file.write(
                    b'<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
                )
                for _ in range(1024):
                    file.write(strings)
                file.write(b"</t></si></sst>")
        for number in range(entries):
            archive.writestr(f"xl/media/{number}.bin", b"")


def _rows(count: int, columns: int = 3) -> str:
    cells = "".join(f'<c r="{chr(65 + place)}{{row}}"><v>1</v></c>' for place in range(columns))
    return "".join(f'<row r="{row}">{cells.format(row=row)}</row>' for row in range(1, count + 1))


def _far_cell(path: Path) -> None:
    _workbook(
        path,
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
    )


def _huge_string(path: Path) -> None:
    _workbook(
        path,
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1"><v>1</v></c></row>',
        strings=b"A" * MIB,
    )


def _ratio_bomb(path: Path) -> None:
    _workbook(path, " " * (200 * MIB))


def _many_entries(path: Path) -> None:
    _workbook(path, _rows(3), entries=100_000)


def _lying_dimension(path: Path) -> None:
    _workbook(path, _rows(3), dimension='<dimension ref="A1:XFD1048576"/>')


def _lying_size(path: Path) -> None:
    """The ZIP directory claims that the sheet inflates to 100 bytes."""
    _workbook(path, _rows(100_000))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"xl/worksheets/sheet1.xml")
    data[at - 22 : at - 18] = (100).to_bytes(4, "little")
    path.write_bytes(data)


def _external_entity(path: Path) -> None:
    doctype = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "&a;&a;&a;&a;">]>'
    _workbook(
        path,
        '<row r="1"><c r="A1" t="inlineStr"><is><t>&a;&b;</t></is></c><c r="B1"><v>1</v></c></row>'
        + _rows(3),
        doctype=doctype,
    )


def _encrypted(path: Path) -> None:
    path.write_bytes(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(504)
        + "EncryptionInfo\0".encode("utf-16-le")
        + bytes(512)
    )


def _truncated(path: Path) -> None:
    _workbook(path, _rows(1000))
    path.write_bytes(path.read_bytes()[:-300])


def _too_many_cells(path: Path) -> None:
    """26 million cells by their addresses, most of which are absent."""
    last = 1_040_000
    _workbook(path, _rows(3, 26) + f'<row r="{last}"><c r="Y{last}"><v>1</v></c></row>')


_WORKBOOKS: dict[str, Callable[[Path], None]] = {
    "far-cell": _far_cell,
    "huge-shared-string": _huge_string,
    "ratio-bomb": _ratio_bomb,
    "100k-entries": _many_entries,
    "lying-dimension": _lying_dimension,
    "lying-size": _lying_size,
    "external-entity": _external_entity,
    "encrypted": _encrypted,
    "truncated": _truncated,
    "26-million-cells": _too_many_cells,
}
