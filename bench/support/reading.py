"""Reads files in the service's child processes; this process takes the place of the service."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from time import perf_counter

from bench.support import harness
from services.common import errors
from services.validation.process.child import Job
from services.validation.process.children import ChildLostError, Children
from services.validation.process.limits import Limits
from sluice.validation.v1.validation_pb2 import (
    Report,
    ValidateObjectRequest,
    ValidateObjectResponse,
    Verdict,
)

GIB = 1024**3
LIMITS = Limits(max_columns=2000, max_cells=25_000_000, max_inflated_bytes=2 * GIB, max_parts=4)


@asynccontextmanager
async def running_children() -> AsyncIterator[Children]:
    """Start the children; stop them afterwards."""
    children = Children(16 * GIB)
    await children.start()
    try:
        yield children
    finally:
        await children.stop()


def request(source: Path) -> ValidateObjectRequest:
    """Return a request without options."""
    return ValidateObjectRequest(filename=source.name, file_size=source.stat().st_size)


async def examine(
    children: Children, source: Path, folder: Path, timeout_s: float
) -> tuple[float, Report, float]:
    """Return the wall seconds, the report, and the peak of the child's private memory in MiB."""
    job = Job(request(source), source, folder, LIMITS, memory_bytes=4 * GIB, timeout_s=timeout_s)
    peak = asyncio.create_task(harness.peak_of_children(os.getpid()))
    began = perf_counter()
    try:
        report = await _report(children, job)
    except ChildLostError as lost:
        problem = errors.problem(errors.reason_of("RESOURCE_LIMIT"), str(lost))
        report = Report(verdict=Verdict.VERDICT_REJECTED, summary=str(lost), problems=[problem])
    wall_s = perf_counter() - began
    peak.cancel()
    return wall_s, report, await peak


async def _report(children: Children, job: Job) -> Report:
    async with aclosing(children.examine(job)) as responses:
        async for response in responses:
            if (
                isinstance(response, ValidateObjectResponse)
                and response.WhichOneof("step") == "report"
            ):
                return response.report
    raise RuntimeError("the child ended without a report")
