"""python -m services.validation.process.child: validates files, one after the other.

Reads jobs from stdin and exits when the parent closes it. Writes answers to the original stdout;
output of libraries is discarded.
"""

import base64
import json
import os
import resource
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from services.validation.process import early
from services.validation.process.frames import HEADER, SIZE, Kind, pack
from services.validation.process.growth import Growth
from services.validation.process.limits import Limits
from services.validation.process.spool import is_disk_full
from services.validation.report.examination import examine
from sluice.validation.v1.validation_pb2 import (
    EarlyFinding,
    EarlyVerdict,
    InspectResponse,
    ValidateObjectRequest,
    ValidateObjectResponse,
    ValidationProgress,
)

ADDRESS_SPACE_SLACK_BYTES = 8 * 1024**3
"""Threads and allocators reserve far more address space than memory. The parent watches the memory;
this limit only stops an allocation that could never succeed.
"""

SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True)
class Job:
    """A file to validate, with its limits."""

    request: ValidateObjectRequest
    source: Path
    folder: Path
    limits: Limits
    memory_bytes: int
    timeout_s: float
    growing: bool = False
    """Whether the source is still arriving: GROWN and COMPLETE frames follow."""

    def to_json(self) -> bytes:
        """Encodes the job."""
        fields = {
            "request": base64.b64encode(self.request.SerializeToString()).decode(),
            "source": str(self.source),
            "folder": str(self.folder),
            "limits": asdict(self.limits),
            "memory_bytes": self.memory_bytes,
            "timeout_s": self.timeout_s,
            "growing": self.growing,
        }
        return json.dumps(fields).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Job":
        """Decodes a job."""
        fields = json.loads(text)
        decoded = {
            "request": ValidateObjectRequest.FromString(base64.b64decode(fields["request"])),
            "source": Path(fields["source"]),
            "folder": Path(fields["folder"]),
            "limits": Limits(**fields["limits"]),
        }
        return cls(**{**fields, **decoded})


def main() -> None:
    """Runs jobs until the parent exits."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _be_killed_first()
    # Ends this process even if the parent no longer can.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # The counting threads need the GIL often and briefly; by default each waits 5 ms for the scan.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    jobs: SimpleQueue[tuple[Job, Growth]] = SimpleQueue()
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    threading.Thread(target=_listen, args=(commands, jobs), daemon=True).start()
    while True:
        job, growth = jobs.get()
        _limit(job)
        kind, answer = _run(job, growth, answers)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answers, kind, answer)


def _run(job: Job, growth: Growth, answers: IO[bytes]) -> tuple[Kind, bytes]:
    """Runs a job. Writes all answers except the last, which it returns."""

    def emit(step: ValidationProgress | EarlyFinding | EarlyVerdict) -> None:
        match step:
            case ValidationProgress():
                _answer(
                    answers,
                    Kind.RESPONSE,
                    ValidateObjectResponse(progress=step).SerializeToString(),
                )
            # Without an inspection, only the report matters.
            case _ if not job.growing:
                pass
            case EarlyFinding():
                _answer(answers, Kind.EARLY, InspectResponse(finding=step).SerializeToString())
            case EarlyVerdict():
                _answer(answers, Kind.EARLY, InspectResponse(verdict=step).SerializeToString())

    try:
        request, growth_while_reading = job.request, None
        if job.growing and early.look(request, job.source, job.folder, job.limits, growth, emit):
            growth_while_reading = growth
        elif job.growing:
            request = growth.wait_complete()
        report = examine(request, job.source, job.folder, job.limits, emit, growth_while_reading)
    except MemoryError as failure:
        return Kind.OUT_OF_MEMORY, _describe(failure).encode()
    except Exception as failure:
        return Kind.DISK_FULL if is_disk_full(failure) else Kind.FAILURE, _describe(
            failure
        ).encode()
    return Kind.RESPONSE, ValidateObjectResponse(report=report).SerializeToString()


def _read(source: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = source.read(size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


def _answer(answers: IO[bytes], kind: Kind, message: bytes) -> None:
    answers.write(pack(kind, message))
    answers.flush()


def _limit(job: Job) -> None:
    space = job.memory_bytes + ADDRESS_SPACE_SLACK_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (space if hard == resource.RLIM_INFINITY else min(space, hard), hard)
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not job.growing:
        _exit_after(job.timeout_s)


def _be_killed_first() -> None:
    """Makes the kernel kill this process instead of the service when memory runs out."""
    # Only Linux has this file.
    with suppress(FileNotFoundError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _exit_after(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds + 5)


def _listen(commands: IO[bytes], jobs: "SimpleQueue[tuple[Job, Growth]]") -> None:
    """Receives jobs, and the growth of the last job's source. Exits when the parent exits."""
    while True:
        size, kind = HEADER.unpack(_read(commands, HEADER.size))
        message = _read(commands, size)
        if kind == Kind.JOB:
            job, growth = Job.from_json(message), Growth()
            jobs.put((job, growth))
        elif kind == Kind.GROWN:
            growth.grow(SIZE.unpack(message)[0])
        elif kind == Kind.COMPLETE:
            _exit_after(job.timeout_s)
            growth.complete(ValidateObjectRequest.FromString(message))


def _describe(failure: Exception) -> str:
    """The exception's type and traceback. Its text may contain the user's data."""
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(failure.__traceback__)
    ]
    return f"{type(failure).__name__} at {' > '.join(frames)}"


if __name__ == "__main__":
    main()
