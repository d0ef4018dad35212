"""A timing for every stage: measured in one way, logged in one form."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from services.common import logs


@dataclass
class Timings:
    """Seconds per step, in the order in which the steps first ran. A step that runs again adds
    up.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times the block, also when it raises."""
        started = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Adds seconds that were measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def log(self, event: str, **facts: object) -> None:
        """Writes one line with every step and their sum."""
        steps = {f"{name}_s": round(value, 4) for name, value in self.seconds.items()}
        logs.get().info(event, **facts, **steps, total_s=round(sum(self.seconds.values()), 4))
