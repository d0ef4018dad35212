"""Real, polluted and hostile files: how well they are read, and that none harms the service.

All files except Pollock's are read by the service's child processes with its limits; this process
takes the place of the service. The files are in HARD_FILES, by default next to the project.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.files import hostile, pollock
from bench.support import harness, reading
from services.common import errors
from sluice.validation.v1.validation_pb2 import Verdict

FOLDERS = ("calamine", "fastexcel", "messytables-horror", "sales", "csv-spectrum")
HOSTILE_SECONDS = 60


def main(with_pollock: bool, with_hostile: bool) -> None:
    """Print the result of each file, and the JSON line with all figures."""
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
    untyped, deaths, slow, files = [], 0, [], 0
    peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        async with reading.running_children() as children:
            for name, source in _files(hard_files, Path(folder), with_hostile):
                files += 1
                try:
                    seconds, report, used = await reading.examine(
                        children, source, Path(tempfile.mkdtemp(dir=folder)), HOSTILE_SECONDS * 5
                    )
                except errors.SluiceError as failure:
                    print(f"{name}: the service failed: {failure}")
                    deaths += 1
                    continue
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
