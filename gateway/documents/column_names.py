"""Names of an answer's columns where each has to be there once: as keys, and in a CSV's header."""

from collections.abc import Sequence


def unique(names: Sequence[str]) -> list[str]:
    """The names in their order; of those that are the same the first keeps its name, the others
    become name_2, name_3 and so on, past names that other columns have."""
    taken = set(names)
    numbers: dict[str, int] = {}
    made = []
    for name in names:
        if name not in numbers:
            numbers[name] = 1
            made.append(name)
            continue
        while True:
            numbers[name] += 1
            candidate = f"{name}_{numbers[name]}"
            if candidate not in taken:
                break
        taken.add(candidate)
        made.append(candidate)
    return made
