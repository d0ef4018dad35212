"""The uploaded files, each unique and generated from a seed."""

import io
import random
from dataclasses import dataclass
from datetime import date, timedelta

import xlsxwriter

from tests.chaos.plan import Content, Plan, Upload
from tests.tables import HEADER, sales_csv


@dataclass(frozen=True)
class File:
    """A file; `revenue` is the sum of its column revenue."""

    name: str
    data: bytes
    revenue: float = 0.0


def make(plan: Plan, upload: Upload) -> File:
    """Generate the file of an upload."""
    seed = plan.seed * 1000 + upload.number
    name = f"{seed}.csv"
    match upload.content:
        case Content.GOOD:
            data = sales_csv(upload.rows, seed)
            return File(
                name, data, sum(float(line.split(b",")[4]) for line in data.splitlines()[1:])
            )
        case Content.WORKBOOK:
            return _workbook(f"{seed}.xlsx", upload.rows, seed)
        case Content.FEW_COLUMNS:
            return File(name, b"order_date,revenue\n" + b"2024-01-01,%d\n" % seed * upload.rows)
        case Content.NO_TIME:
            return File(name, b"a,b,c,d,e\n" + b"x,1,2,3,%d\n" % seed * upload.rows)
        case Content.EMPTY:
            return File(name, f"{HEADER},c{seed}\n".encode())
        case Content.BINARY:
            return File(name, random.Random(seed).randbytes(200_000))
        case Content.BROKEN_ZIP:
            return File(f"{seed}.xlsx", b"PK\x03\x04" + random.Random(seed).randbytes(50_000))
        case Content.LONG_LINE:
            return File(name, f'{HEADER}\n{seed},"'.encode() + b"x" * 3_000_000)
        case Content.NUL:
            return File(name, f"{seed}".encode() + b"\x00" * 100_000)


def _workbook(name: str, rows: int, seed: int) -> File:
    chance = random.Random(seed)
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    sheet = book.add_worksheet()
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, HEADER.split(",")[:5])
    total = 0.0
    for number in range(1, rows + 1):
        revenue = chance.randrange(1, 99_999) / 100
        total += revenue
        sheet.write_datetime(
            number, 0, date(2024, 3, 1) + timedelta(days=chance.randrange(60)), day
        )
        sheet.write_row(
            number,
            1,
            [
                f"S{seed}-{number}",
                chance.choice(["north", "south"]),
                chance.randrange(1, 9),
                revenue,
            ],
        )
    book.close()
    return File(name, out.getvalue(), total)
