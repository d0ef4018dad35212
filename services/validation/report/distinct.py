"""Distinct count in bounded memory: exact for few values, an estimate for many."""

import polars as pl

KEPT = 16_384
"""Up to this number, the count is exact; above, the error of the estimate is about 1 %."""
_SPACE = 2**64


class Distinct:
    """Keeps the distinct hashes below a bound, which falls as their number grows.

    Hashes are uniform, so count = hashes kept * hash space / bound (K minimum values).
    """

    def __init__(self) -> None:
        self._kept = pl.Series(dtype=pl.UInt64)
        self._bound = _SPACE

    def add(self, hashes: pl.Series) -> None:
        """Adds 64-bit hashes, one per value."""
        fresh = hashes.rename("")
        if self.approximate:
            fresh = fresh.filter(fresh < self._bound)
        self._kept = pl.concat([self._kept, fresh.unique()]).unique()
        while len(self._kept) > KEPT:
            self._bound //= 2
            self._kept = self._kept.filter(self._kept < self._bound)

    @property
    def count(self) -> int:
        """Number of distinct values."""
        return round(len(self._kept) * (_SPACE / self._bound))

    @property
    def approximate(self) -> bool:
        """Whether `count` is an estimate."""
        return self._bound < _SPACE
