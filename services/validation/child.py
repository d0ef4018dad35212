"""python -m services.validation.child: reads one file and ends.

The parent writes one job to stdin and keeps it open: its end is the parent's end, and ours. Answers go to what was stdout; whatever
a library prints goes nowhere.
"""

import base64
import json
import os
import resource
import signal
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from services.validation.frames import HEADER, Kind, pack
from services.validation.judging import examine
from services.validation.limits import Limits
from sluice.validation.v1.validation_pb2 import ValidateObjectRequest, ValidateObjectResponse, ValidationProgress

ADDRESS_SPACE_SLACK_BYTES = 8 * 1024**3
"""Address space is far more than memory: threads and allocators reserve it. The parent watches the memory itself; this bound only ends
an allocation that could never succeed."""


@dataclass(frozen=True)
class Job:
    """What the child is to do."""

    request: ValidateObjectRequest
    source: Path
    folder: Path
    limits: Limits
    memory_bytes: int
    timeout_s: float

    def to_json(self) -> bytes:
        """The job as JSON."""
        request = base64.b64encode(self.request.SerializeToString()).decode()
        fields = {"source": str(self.source), "folder": str(self.folder), "limits": asdict(self.limits)}
        return json.dumps({**fields, "request": request, "memory_bytes": self.memory_bytes, "timeout_s": self.timeout_s}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Job":
        """The job in JSON."""
        fields = json.loads(text)
        request = ValidateObjectRequest.FromString(base64.b64decode(fields["request"]))
        limits = Limits(**fields["limits"])
        return cls(request, Path(fields["source"]), Path(fields["folder"]), limits, fields["memory_bytes"], fields["timeout_s"])


def main() -> None:
    """Reads the job, answers, ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    header = _read(commands, HEADER.size)
    size, _ = HEADER.unpack(header)
    job = Job.from_json(_read(commands, size))
    _limit(job)
    threading.Thread(target=_end_with_parent, args=(commands,), daemon=True).start()

    def emit(progress: ValidationProgress) -> None:
        _answer(answers, Kind.RESPONSE, ValidateObjectResponse(progress=progress).SerializeToString())

    try:
        report = examine(job.request, job.source, job.folder, job.limits, emit)
    except Exception as failure:
        _answer(answers, Kind.FAILURE, _described(failure).encode())
    else:
        _answer(answers, Kind.RESPONSE, ValidateObjectResponse(report=report).SerializeToString())
    # Threads of libraries need not be waited for.
    os._exit(0)


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
    resource.setrlimit(resource.RLIMIT_AS, (space if hard == resource.RLIM_INFINITY else min(space, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Ends us also where the parent no longer can.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job.timeout_s + 5)


def _end_with_parent(commands: IO[bytes]) -> None:
    commands.read(1)
    os._exit(0)


def _described(failure: Exception) -> str:
    """The exception's type and its places. Its text may hold the user's data."""
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(failure.__traceback__)]
    return f"{type(failure).__name__} at {' > '.join(places)}"


if __name__ == "__main__":
    main()
    sys.exit(0)
