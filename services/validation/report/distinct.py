"""How many different values there are, in bounded memory: exact for few, an estimate for many."""

import polars as pl

KEPT = 16_384
"""Up to so many different values are counted exactly; beyond, the estimate is off by about 1 %."""
_SPACE = 2**64


class Distinct:
    """Keeps the different hashes of values; once there are too many, only those below a bound that
    falls: their share of the space of all hashes tells how many there are.
    """

    def __init__(self) -> None:
        self._kept = pl.Series(dtype=pl.UInt64)
        self._bound = _SPACE

    def add(self, hashes: pl.Series) -> None:
        """Takes hashes of 64 bits, one per value."""
        fresh = hashes.rename("")
        if self.approximate:
            fresh = fresh.filter(fresh < self._bound)
        self._kept = pl.concat([self._kept, fresh.unique()]).unique()
        while len(self._kept) > KEPT:
            self._bound //= 2
            self._kept = self._kept.filter(self._kept < self._bound)

    @property
    def count(self) -> int:
        """How many different values were taken."""
        return round(len(self._kept) * (_SPACE / self._bound))

    @property
    def approximate(self) -> bool:
        """Whether `count` is an estimate."""
        return self._bound < _SPACE
