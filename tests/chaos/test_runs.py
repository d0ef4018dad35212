"""Two short runs on the shared stack; `make chaos` has more and longer ones."""

import pytest

from local.instance import Instance
from tests.chaos.runs import run, site


@pytest.mark.timeout(1200)
async def test_nothing_is_lost_or_doubled(instance: Instance) -> None:
    async with site(instance) as place:
        for seed in (1, 2):
            done = await run(place, seed, short=True)
            assert done.verdict.findings == [], "\n".join(done.plan.lines())
