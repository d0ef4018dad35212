"""Generate the sample files: the same 10,000 sales as sales.csv and sales.xlsx.

`python examples/generate.py` writes both next to itself. The output is reproducible.
"""

import csv
import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import xlsxwriter

ROWS = 10_000
SEED = 33
FIRST_DAY = date(2024, 1, 1)
DAYS = 730

CATALOGUE = {
    "Coffee": [("Espresso beans 1 kg", 21.90), ("Filter blend 500 g", 9.40), ("Decaf 250 g", 6.75)],
    "Tea": [("Assam 250 g", 7.20), ("Sencha 100 g", 8.95), ("Rooibos 200 g", 5.10)],
    "Equipment": [
        ("Hand grinder", 64.00),
        ("Gooseneck kettle", 49.50),
        ("Paper filters, 100", 4.30),
    ],
    "Books": [('The "Perfect" Cup', 18.00), ("Tea, leaf by leaf", 24.95)],
}
REGIONS = {
    "North": ["Oslo", "Malmö", "Tampere"],
    "West": ["Köln", "Gent", "Lille"],
    "South": ["Málaga", "Bari"],
    "East": ["Łódź", "Brno"],
}
CHANNELS = ["web", "store", "phone"]
COLUMNS = [
    "order_id",
    "order_date",
    "region",
    "city",
    "channel",
    "customer_id",
    "category",
    "product",
    "quantity",
    "unit_price",
    "discount",
    "revenue",
    "shipped_at",
    "comment",
]

Value = str | int | float | date | datetime | None


def rows() -> list[list[Value]]:
    """Return the rows, with values in the order of COLUMNS and None for missing values."""
    chance = random.Random(SEED)  # noqa: S311 - reproducible sample data, no secret
    table: list[list[Value]] = []
    for number in range(1, ROWS + 1):
        # More orders towards the end of the year give charts a shape.
        day = FIRST_DAY + timedelta(days=min(chance.randrange(DAYS), chance.randrange(DAYS) + 240))
        region = chance.choice(list(REGIONS))
        category = chance.choices(list(CATALOGUE), weights=[5, 3, 2, 1])[0]
        product, price = chance.choice(CATALOGUE[category])
        quantity = chance.choices([1, 2, 3, 5, 12], weights=[8, 4, 2, 1, 1])[0]
        discount = chance.choices([None, 0.05, 0.1, 0.25], weights=[6, 2, 1, 1])[0]
        shipped = None
        if chance.random() > 0.04:
            at = time(chance.randrange(7, 19), chance.randrange(60), chance.randrange(60))
            shipped = datetime.combine(day + timedelta(days=chance.randrange(5)), at)
        table.append(
            [
                f"SO-{number:06d}",
                day,
                region,
                chance.choice(REGIONS[region]),
                chance.choice(CHANNELS),
                f"{chance.randrange(900):05d}",
                category,
                product,
                quantity,
                price,
                discount,
                round(quantity * price * (1 - (discount or 0)), 2),
                shipped,
                chance.choices(
                    [None, "gift", "leave at the door", "call first; then ring twice"],
                    weights=[6, 2, 1, 1],
                )[0],
            ]
        )
    return table


def write_csv(path: Path, table: list[list[Value]]) -> None:
    """Write UTF-8 with commas and LF; times as YYYY-MM-DD HH:MM:SS; missing values are empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([["" if value is None else value for value in row] for row in table])


def write_xlsx(path: Path, table: list[list[Value]]) -> None:
    """Write one sheet, `Sales`, with typed cells."""
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        book.set_properties({"created": datetime(2024, 1, 1, tzinfo=UTC)})
        sheet = book.add_worksheet("Sales")
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet.write_row(0, 0, COLUMNS)
        for row, values in enumerate(table, start=1):
            for column, value in enumerate(values):
                if isinstance(value, datetime):
                    sheet.write_datetime(row, column, value, moment)
                elif isinstance(value, date):
                    sheet.write_datetime(row, column, value, day)
                elif isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif value is not None:
                    sheet.write_number(row, column, value)


def main() -> None:
    """Write both files."""
    here, table = Path(__file__).parent, rows()
    write_csv(here / "sales.csv", table)
    write_xlsx(here / "sales.xlsx", table)


if __name__ == "__main__":
    main()
