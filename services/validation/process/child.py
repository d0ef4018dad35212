"""python -m services.validation.process.child: reads files, one after the other.

The parent writes jobs to stdin and keeps it open: its end is the parent's end, and ours. Answers go
to what was stdout; whatever a library prints goes nowhere.
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
from services.validation.report.judging import examine
from sluice.validation.v1.validation_pb2 import (
    EarlyFinding,
    EarlyVerdict,
    InspectResponse,
    ValidateObjectRequest,
    ValidateObjectResponse,
    ValidationProgress,
)

ADDRESS_SPACE_SLACK_BYTES = 8 * 1024**3
"""Address space is far more than memory: threads and allocators reserve it. The parent watches the
memory itself; this bound only ends an allocation that could never succeed.
"""

SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True)
class Job:
    """What the child is to do."""

    request: ValidateObjectRequest
    source: Path
    folder: Path
    limits: Limits
    memory_bytes: int
    timeout_s: float
    growing: bool = False
    """Whether the source still arrives: GROWN and COMPLETE follow."""

    def to_json(self) -> bytes:
        """The job as JSON."""
        request = base64.b64encode(self.request.SerializeToString()).decode()
        fields = {
            "source": str(self.source),
            "folder": str(self.folder),
            "limits": asdict(self.limits),
        }
        bounds = {
            "memory_bytes": self.memory_bytes,
            "timeout_s": self.timeout_s,
            "growing": self.growing,
        }
        return json.dumps({**fields, **bounds, "request": request}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Job":
        """The job in JSON."""
        fields = json.loads(text)
        request = ValidateObjectRequest.FromString(base64.b64decode(fields["request"]))
        limits = Limits(**fields["limits"])
        source, folder = Path(fields["source"]), Path(fields["folder"])
        return cls(
            request,
            source,
            folder,
            limits,
            fields["memory_bytes"],
            fields["timeout_s"],
            fields["growing"],
        )


def main() -> None:
    """Reads jobs and answers, until the parent ends it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _be_killed_first()
    # Ends us also where the parent no longer can.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # Threads that count have much to say between their calls of compiled code, and would wait for
    # the one that scans each time.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    jobs: SimpleQueue[tuple[Job, Growth]] = SimpleQueue()
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    threading.Thread(target=_listen, args=(commands, jobs), daemon=True).start()
    while True:
        job, growth = jobs.get()
        _limit(job)
        kind, answer = _done(job, growth, answers)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answers, kind, answer)


def _done(job: Job, growth: Growth, answers: IO[bytes]) -> tuple[Kind, bytes]:
    """Does a job. What comes before its last answer is written on the way."""

    def emit(step: ValidationProgress | EarlyFinding | EarlyVerdict) -> None:
        match step:
            case ValidationProgress():
                _answer(
                    answers,
                    Kind.RESPONSE,
                    ValidateObjectResponse(progress=step).SerializeToString(),
                )
            # Whoever does not hear early waits for the report.
            case _ if not job.growing:
                pass
            case EarlyFinding():
                _answer(answers, Kind.EARLY, InspectResponse(finding=step).SerializeToString())
            case EarlyVerdict():
                _answer(answers, Kind.EARLY, InspectResponse(verdict=step).SerializeToString())

    try:
        request, still = job.request, None
        if job.growing and early.look(request, job.source, job.folder, job.limits, growth, emit):
            still = growth
        elif job.growing:
            request = growth.wait_complete()
        report = examine(request, job.source, job.folder, job.limits, emit, still)
    except MemoryError as failure:
        return Kind.OUT_OF_MEMORY, _described(failure).encode()
    except Exception as failure:
        return Kind.DISK_FULL if is_disk_full(failure) else Kind.FAILURE, _described(
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
        _end_in(job.timeout_s)


def _be_killed_first() -> None:
    """Where memory runs out, the kernel ends us and not the service, which has the files of all."""
    # Systems other than Linux have no such file.
    with suppress(FileNotFoundError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _end_in(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds + 5)


def _listen(commands: IO[bytes], jobs: "SimpleQueue[tuple[Job, Growth]]") -> None:
    """Hears jobs, and how the source of the last one grows. The end of the pipe is the parent's
    end, and ours.
    """
    while True:
        size, kind = HEADER.unpack(_read(commands, HEADER.size))
        message = _read(commands, size)
        if kind == Kind.JOB:
            job, growth = Job.from_json(message), Growth()
            jobs.put((job, growth))
        elif kind == Kind.GROWN:
            growth.grow(SIZE.unpack(message)[0])
        elif kind == Kind.COMPLETE:
            _end_in(job.timeout_s)
            growth.complete(ValidateObjectRequest.FromString(message))


def _described(failure: Exception) -> str:
    """The exception's type and its places. Its text may hold the user's data."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(failure.__traceback__)
    ]
    return f"{type(failure).__name__} at {' > '.join(places)}"


if __name__ == "__main__":
    main()
