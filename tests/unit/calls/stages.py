"""All stages whose calls are failed, and what comes of it."""

import structlog

from tests.unit.calls import druid, pipeline, uploading, validating
from tests.unit.calls.failing import Outcome, Stage, every_call

STAGES: dict[str, Stage] = {
    **uploading.STAGES,
    **validating.STAGES,
    **pipeline.STAGES,
    **druid.STAGES,
}


async def run_all() -> dict[str, Outcome]:
    """Every stage with every call failed in every way, by the stage's name."""
    with structlog.testing.capture_logs():
        return {name: await every_call(name, stage) for name, stage in STAGES.items()}
