"""Real, polluted and hostile files: how well they are read, and that none of them hurts the
service.

Every file but Pollock's goes through the same children that the service uses, with the service's
limits; this process stands for the service. The files lie beside the project, or where HARD_FILES
says.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from time import perf_counter

from bench.files import hostile, pollock
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

FOLDERS = ("calamine", "fastexcel", "messytables-horror", "sales", "csv-spectrum")
HOSTILE_SECONDS = 60
GIB = 1024**3
LIMITS = Limits(max_columns=2000, max_cells=25_000_000, max_inflated_bytes=2 * GIB, max_parts=4)


def main(with_pollock: bool, with_hostile: bool) -> None:
    """Prints what became of the files and the line with all figures."""
    hard_files = Path(
        os.environ.get("HARD_FILES") or Path(__file__).parents[2] / "shared" / "hard-files"
    )
    figures: dict[str, object] = {}
    if with_pollock:
        totals, readings = pollock.score(hard_files)
        figures |= {
            "simple": totals["simple"],
            "weighted": totals["weighted"],
            "crashes": sum(bool(r.crashed) for r in readings),
        }
        figures |= pollock.locate(hard_files, readings)
    figures |= asyncio.run(_through_children(hard_files, with_hostile))
    harness.conclude(bench="hard_files", **figures)


async def _through_children(hard_files: Path, with_hostile: bool) -> dict[str, object]:
    children = Children(16 * GIB)
    await children.start()
    untyped, deaths, slow, files = [], 0, [], 0
    peak = 0.0
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, source in _files(hard_files, Path(folder), with_hostile):
                files += 1
                began = perf_counter()
                try:
                    report, used = await _examine(
                        children, source, Path(tempfile.mkdtemp(dir=folder))
                    )
                except errors.SluiceError as failure:
                    print(f"{name}: the service failed: {failure}")
                    deaths += 1
                    continue
                seconds = perf_counter() - began
                codes = [errors.code_of(problem.code) for problem in report.problems]
                peak = (
                    max(peak, used)
                    if name.startswith("hostile") and source.suffix == ".csv"
                    else peak
                )
                print(
                    f"{name}: {Verdict.Name(report.verdict)} {codes[:4]} {seconds:.1f} s, child {used:.0f} MiB"
                )
                if not report.summary or (report.verdict != Verdict.VERDICT_PASSED and not codes):
                    untyped.append(name)
                if seconds > HOSTILE_SECONDS:
                    slow.append(name)
    finally:
        await children.stop()
    if untyped or slow:
        print("without a typed outcome:", untyped, "slower than", HOSTILE_SECONDS, "s:", slow)
    return {
        "files": files,
        "untyped": len(untyped),
        "slow": len(slow),
        "service_deaths": deaths,
        "max_rss_mib": round(peak),
        "service_rss_mib": round(harness.peak_mib(os.getpid())),
    }


def _files(hard_files: Path, folder: Path, with_hostile: bool) -> Iterator[tuple[str, Path]]:
    for name in FOLDERS:
        for source in sorted((hard_files / name).iterdir()):
            if source.name != "manifest.tsv":
                yield f"{name}/{source.name}", source
    if with_hostile:
        for source in hostile.make(folder):
            yield f"hostile/{source.name}", source
            source.unlink()


def _request(source: Path) -> ValidateObjectRequest:
    return ValidateObjectRequest(filename=source.name, file_size=source.stat().st_size)


async def _examine(children: Children, source: Path, folder: Path) -> tuple[Report, float]:
    """The report, and the most memory in MiB that the child had for its own."""
    request = _request(source)
    job = Job(request, source, folder, LIMITS, memory_bytes=4 * GIB, timeout_s=HOSTILE_SECONDS * 5)
    peak = asyncio.create_task(harness.peak_of_children(os.getpid()))
    try:
        async with aclosing(children.examine(job)) as responses:
            async for response in responses:
                if (
                    isinstance(response, ValidateObjectResponse)
                    and response.WhichOneof("step") == "report"
                ):
                    return response.report, await _stopped(peak)
    except ChildLostError as lost:
        problem = errors.problem(errors.reason_of("RESOURCE_LIMIT"), str(lost))
        return Report(
            verdict=Verdict.VERDICT_REJECTED, summary=str(lost), problems=[problem]
        ), await _stopped(peak)
    raise RuntimeError("the child ended without a report")


async def _stopped(peak: "asyncio.Task[float]") -> float:
    peak.cancel()
    return await peak
