"""Test files from a seeded generator."""

import random
from datetime import date, timedelta

HEADER = "order_date,order_id,region,quantity,revenue,note"


def sales_csv(rows: int, seed: int = 1) -> bytes:
    """Return a CSV of `rows` sales over two months; column types: date, text, text, integer,
    decimal, text with nulls.
    """
    chance = random.Random(seed)
    lines = [HEADER]
    for number in range(rows):
        day = date(2024, 3, 1) + timedelta(days=chance.randrange(60))
        note = chance.choice(["", "gift", '"call first, then ring"'])
        lines.append(
            f"{day},S{number:07d},{chance.choice(['north', 'south'])},{chance.randrange(1, 9)},{chance.randrange(1, 99_999) / 100},{note}"
        )
    return ("\n".join(lines) + "\n").encode()
