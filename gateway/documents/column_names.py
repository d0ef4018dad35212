"""Unique column names of query results, for JSON keys and CSV headers."""

from collections.abc import Sequence


def unique(names: Sequence[str]) -> list[str]:
    """Rename duplicates to name_2, name_3 and so on, skipping names of other columns. The order
    stays, and the first of each name keeps it."""
    taken = set(names)
    numbers: dict[str, int] = {}
    result = []
    for name in names:
        if name not in numbers:
            numbers[name] = 1
            result.append(name)
            continue
        while True:
            numbers[name] += 1
            candidate = f"{name}_{numbers[name]}"
            if candidate not in taken:
                break
        taken.add(candidate)
        result.append(candidate)
    return result
