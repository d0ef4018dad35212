"""A seeded series of appends, replaces and reverts on the real Druid: after each step, every LIVE
load has all its rows.

SERIES_STEPS and SERIES_SEED change its length and seed: `SERIES_STEPS=50 .venv/bin/pytest
tests/e2e/test_series.py`.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.test_modes import days
from tests.e2e.test_undo import reverted

STEPS = int(os.environ.get("SERIES_STEPS", "10"))
SEED = int(os.environ.get("SERIES_SEED", "1"))
DAYS = 40


@dataclass
class Series:
    """A datasource and its loads."""

    gateway: Gateway
    datasource: str
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    loads: dict[str, int] = field(default_factory=dict)
    """Task id -> rows."""
    refused: int = 0

    async def step(self, number: int) -> str:
        if self.loads and self.chance.random() < 0.4:
            return await self.undo()
        return await self.load(number)

    async def load(self, number: int) -> str:
        first = self.chance.randrange(DAYS)
        last = min(DAYS, first + self.chance.randrange(1, 20))
        of_each = self.chance.randrange(1, 5)
        mode = self.chance.choice(
            ["append", "append", "replace", "replace_interval", "replace_all"]
        )
        fields = {"mode": mode}
        if mode == "replace_interval":
            fields["interval"] = "2024-01-01/2024-03-01"
        task_id = await self.gateway.upload(
            f"{number}.csv", days(first, last, of_each, amount=number), self.datasource, **fields
        )
        await self.gateway.succeeded(task_id)
        self.loads[task_id] = (last - first + 1) * of_each
        return f"{mode} {task_id}"

    async def undo(self) -> str:
        task_id = self.chance.choice(list(self.loads))
        answer = await self.gateway.http.post(f"/api/ingest/tasks/{task_id}/revert")
        if answer.status_code == 409:
            assert answer.json()["code"] == "NEWER_LOADS"
            self.refused += 1
            return f"undo {task_id}: refused"
        assert answer.status_code == 202, answer.text
        await reverted(self.gateway, task_id)
        del self.loads[task_id]
        return f"undo {task_id}"

    async def check(self, after: str) -> None:
        """Check that each row belongs to a known load, and that load states match the counts."""
        sql = f'SELECT __load_id, COUNT(*) FROM "{self.datasource}" GROUP BY 1'
        known = await self.gateway.rows_in_druid(self.datasource)
        counted = {
            str(task_id): int(rows)
            for task_id, rows in (await self.gateway.query(sql) if known else [])
        }
        assert counted.keys() <= self.loads.keys(), after
        for task_id, rows in self.loads.items():
            state, found = (await self.gateway.task(task_id))["load_state"], counted.get(task_id, 0)
            fits = {
                "LIVE": found == rows,
                "PARTLY_REPLACED": 0 < found < rows,
                "REPLACED": found == 0,
            }
            assert fits[state], (
                f"seed {SEED}, after {after}: {task_id} is {state} with {found} of {rows} rows"
            )


@pytest.mark.timeout(60 + 30 * STEPS)
async def test_a_seeded_series(gateway: Gateway, new_datasource: Callable[[str], str]) -> None:
    series = Series(gateway, new_datasource("series"))
    for number in range(1, STEPS + 1):
        await series.check(f"step {number}, {await series.step(number)}")
