"""A workbook of a million rows and 20 columns, written directly as XML; libraries take minutes."""

import zipfile
from pathlib import Path

import polars as pl

from bench.files import hostile

COLUMNS = 20
BLOCK_ROWS = 50_000


def numbers(first: int, rows: int) -> pl.DataFrame:
    """Return dates as days since 1900, integers, and numbers with two decimals."""
    row = pl.int_range(first, first + rows, dtype=pl.Int64)
    return pl.select(
        (44_562 + row % 700).alias("date"),
        *(
            (row.hash(index) % 100_000).cast(pl.Int64).alias(f"units_{index}")
            for index in range(1, 10)
        ),
        *(
            ((row.hash(index) % 1_000_000).cast(pl.Float64) / 100).alias(f"amount_{index}")
            for index in range(10, COLUMNS)
        ),
    )


def write(path: Path, rows: int) -> dict[str, float]:
    """Write the workbook; return the sum of each numeric column."""
    sums: dict[str, float] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        hostile.frame(archive)
        archive.writestr("xl/styles.xml", _STYLES)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(_HEAD)
            header = "".join(
                f'<c r="{_letter(index)}1" t="inlineStr"><is><t>{name}</t></is></c>'
                for index, name in enumerate(numbers(0, 1).columns)
            )
            sheet.write(f'<row r="1">{header}</row>'.encode())
            for first in range(0, rows, BLOCK_ROWS):
                block = numbers(first, min(BLOCK_ROWS, rows - first))
                for name in block.columns[1:]:
                    sums[name] = sums.get(name, 0.0) + float(block[name].sum())
                cells = "".join(
                    f'<c r="{_letter(index)}{{}}"{_style(index)}><v>{{}}</v></c>'
                    for index in range(COLUMNS)
                )
                row = pl.int_range(first + 2, first + 2 + block.height).alias("row")
                values = [
                    value for name in block.columns for value in (pl.col("row"), pl.col(name))
                ]
                text = block.with_columns(row).select(
                    pl.format(f'<row r="{{}}">{cells}</row>', pl.col("row"), *values).str.join()
                )
                sheet.write(text.item().encode())
            sheet.write(b"</sheetData></worksheet>")
    return sums


def _letter(index: int) -> str:
    return chr(65 + index)


def _style(index: int) -> str:
    return ' s="1"' if index == 0 else ""


_HEAD = b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
_STYLES = (
    '<?xml version="1.0"?><styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    '<fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0"/></cellStyleXfs>'
    '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>'
)
