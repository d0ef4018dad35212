"""A small test file."""

from pathlib import Path


def orders(
    folder: Path,
    name: str,
    *,
    rows: int = 600,
    months: tuple[int, ...] = (1, 2, 3),
    last_column: str = "shop",
    price: int = 1,
) -> Path:
    """Write a CSV with a time, two texts and two numbers, in the given months of 2024. `last_column`
    names the last text; `price` is a factor of the prices.
    """
    lines = [
        f"2024-{months[n % len(months)]:02}-{n % 27 + 1:02},{'NESW'[n % 4]},{n % 9},{n * price}.5,x{n % 3}"
        for n in range(rows)
    ]
    file = folder / name
    file.write_text("\n".join([f"day_date,region,units,price,{last_column}", *lines]) + "\n")
    return file
