"""Reproducible CSV files of a given size."""

import random
from datetime import datetime, timedelta
from pathlib import Path

from bench.support.harness import MIB

HEADER = "order_date,order_id,region,product,channel,quantity,unit_price,revenue,note\n"
FIRST = datetime(2023, 1, 1)
SPAN_S = 730 * 86_400
BLOCK_ROWS = 20_000
REGIONS = ["north", "south", "east", "west", "centre"]
PRODUCTS = [f"product {number:03d}" for number in range(400)]
CHANNELS = ["web", "store", "phone"]


def _block(first_row: int, count: int) -> tuple[str, float]:
    """Return `count` lines from row `first_row`, with random times within two years, and the sum
    of their revenue.
    """
    chance = random.Random(first_row)
    lines, revenue_sum = [], 0.0
    for number in range(first_row, first_row + count):
        moment = FIRST + timedelta(seconds=chance.randrange(SPAN_S))
        quantity = chance.randint(1, 20)
        price = chance.randrange(100, 50_000) / 100
        revenue = round(quantity * price, 2)
        revenue_sum += revenue
        lines.append(
            f"{moment:%Y-%m-%d %H:%M:%S},{number},{chance.choice(REGIONS)},{chance.choice(PRODUCTS)},{chance.choice(CHANNELS)},"
            f"{quantity},{price},{revenue},lot {chance.randrange(1_000_000):06d}\n"
        )
    return "".join(lines), revenue_sum


def sales_by_rows(path: Path, rows: int) -> Path:
    """Create, once, a CSV of `rows` sales in random time order; about 87 bytes per row."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(HEADER)
            for first in range(0, rows, BLOCK_ROWS):
                file.write(_block(first, min(BLOCK_ROWS, rows - first))[0])
        partial.rename(path)
    return path


def sales_by_size(path: Path, size_mib: int) -> Path:
    """Create, once, a CSV of at least `size_mib` MiB; the first 20,000 rows repeat."""
    if not path.exists():
        block = _block(0, BLOCK_ROWS)[0].encode()
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(HEADER.encode())
            while file.tell() < size_mib * MIB:
                file.write(block)
        partial.rename(path)
    return path
