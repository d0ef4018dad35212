"""Cells of exported files that a spreadsheet would run as formulas.

See https://owasp.org/www-community/attacks/CSV_Injection.
"""

import re

FORMULA_START = r"[=+\-@\t\r]"
"""Regular expression of the characters that make a spreadsheet run a cell."""

_FORMULA = re.compile(FORMULA_START)
_NUMBER = re.compile(r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?%?")


def without_formula(cell: str) -> str:
    """Escape a cell that a spreadsheet would run with an apostrophe. Numbers stay unchanged."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
