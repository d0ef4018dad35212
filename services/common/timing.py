"""Measures the steps of a stage and logs them in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from services.common import logs


@dataclass
class Timings:
    """Seconds per step, in the order of their first run. Repeated steps add up."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block, even if it raises."""
        started = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def log(self, event: str, **facts: object) -> None:
        """Log one line with all steps and their total."""
        steps = {f"{name}_s": round(value, 4) for name, value in self.seconds.items()}
        logs.get().info(event, **facts, **steps, total_s=round(sum(self.seconds.values()), 4))
