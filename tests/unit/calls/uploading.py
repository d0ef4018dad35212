"""Edge and upload service: the object store, the status service and, for the edge, the upload
service itself fail them.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

import crc32c

from gateway.intake.receiving import Destination, receive
from services.common.errors import SluiceError
from services.upload.receiving.background import Background
from services.upload.receiving.receiver import Receiver
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Step
from services.upload.receiving.tee import Tees
from services.upload.resuming.uploads import NewUpload, Uploads
from services.upload.sweeping.cleanup import Cleanup
from services.upload.sweeping.sweeper import Sweeper
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task
from sluice.upload.v1.upload_pb2 import (
    CreateUploadRequest,
    CreateUploadResponse,
    Upload,
    WriteUploadRequest,
)
from tests.unit.calls.failing import GRPC, S3, Failing, Plan, Stage, hold
from tests.unit.upload.fakes import PART, FakeStore, FakeTasks, Faults
from tests.unit.upload.fakes import World as Fakes

SMALL = b"date,amount\n2026-01-01,3\n"
LARGE = bytes(range(256)) * (PART // 100)
BAD_ENDS = {
    TaskState.TASK_STATE_REJECTED,
    TaskState.TASK_STATE_CANCELLED,
    TaskState.TASK_STATE_FAILED,
}


class World:
    """The upload service, and an edge that calls it."""

    def __init__(self, plan: Plan) -> None:
        settings = Fakes().settings
        self.store, self.tasks = FakeStore(Faults()), FakeTasks(Faults())
        store, tasks = Failing(self.store, S3, plan), Failing(self.tasks, GRPC, plan)
        cleanup = Cleanup(store)
        self.background = Background()
        self.receiver = Receiver(settings, store, tasks, cleanup, self.background, Tees(None))
        self.uploads = Uploads(settings, store, tasks, cleanup, self.receiver)
        self.sweeper = Sweeper(settings, store, tasks, cleanup, self.receiver)
        self.plan = plan

    async def send(self, data: bytes, last: Step) -> Task | None:
        """The upload service's answer; None where it refused."""
        new = NewUpload(
            "r1",
            "sales",
            "Sales.csv",
            None,
            b"",
            UploadMode.UPLOAD_MODE_ONE_SHOT,
            LoadMode.LOAD_MODE_APPEND,
            False,
        )
        try:
            task, _ = await self.uploads.create(new)
            return await self.receiver.receive(_steps(task.task_id, data, last))
        except (SluiceError, ValueError):
            return None

    async def settle(self) -> None:
        """What time brings: the process lives on, and sweeps."""
        await self.background.drain(5)
        for _ in range(3):
            with suppress(SluiceError, ValueError):
                await self.sweeper.sweep()

    def check(self, data: bytes, accepted: list[str]) -> None:
        """Every task has ended or is UPLOADED; there is an object for those, whole, and nothing
        else; who was told so was told right.
        """
        uploaded = {}
        for task in self.tasks.tasks.values():
            state = TaskState.Name(task.state)
            hold(
                task.state in BAD_ENDS or task.state == TaskState.TASK_STATE_UPLOADED,
                f"a task is {state} after the sweep",
            )
            if task.state == TaskState.TASK_STATE_UPLOADED:
                uploaded[task.file_uri] = data
                hold(
                    task.sha256 == hashlib.sha256(data).digest(),
                    "a task is UPLOADED with another SHA-256",
                )
            else:
                hold(bool(task.problem.code), f"a task is {state} without a problem")
        hold(
            self.store.objects == uploaded,
            f"objects {list(self.store.objects)}, and UPLOADED are {list(uploaded)}",
        )
        hold(not self.store.multiparts, "a multipart upload is open")
        hold(len(self.tasks.tasks) <= 1, "one request made two tasks")
        hold(
            all(self.tasks.tasks[task_id].file_uri in uploaded for task_id in accepted),
            "a file was accepted that is not UPLOADED",
        )


async def _steps(upload_id: str, data: bytes, last: Step) -> AsyncIterator[Step]:
    yield Header(upload_id, 0)
    for start in range(0, len(data), 1024 * 1024):
        yield Chunk(data[start : start + 1024 * 1024], None)
    yield last


def _received(data: bytes, last: Step) -> Stage:
    async def run(plan: Plan) -> None:
        world = World(plan)
        task = await world.send(data, last)
        await world.settle()
        world.check(data, [task.task_id] if task else [])
        whole = isinstance(last, Finish) and last.size in (None, len(data))
        hold(
            plan.fired or whole == (task is not None),
            "nothing failed, and a good file was refused or a damaged one accepted",
        )

    return run


class _Edge:
    """gateway.ports.Uploads, straight into the service."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse:
        new = NewUpload(
            request.request_id,
            request.datasource,
            request.filename,
            None,
            b"",
            request.mode,
            request.load_mode,
            False,
        )
        task, created = await self._world.uploads.create(new)
        return CreateUploadResponse(
            upload=Upload(upload_id=task.task_id, state=task.state), created=created
        )

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        async def steps() -> AsyncIterator[Step]:
            async for message in messages:
                match message.WhichOneof("step"):
                    case "header":
                        yield Header(message.header.upload_id, 0)
                    case "chunk":
                        yield Chunk(message.chunk.data, None)
                    case "finish":
                        yield Finish(message.finish.size, b"")
                    case _:
                        yield Abort(message.abort.problem)

        task = await self._world.receiver.receive(steps())
        return Upload(upload_id=task.task_id, state=task.state, committed_size=task.file_size)

    async def get(self, upload_id: str) -> Upload:
        task, committed = await self._world.uploads.get(upload_id)
        return Upload(
            upload_id=task.task_id, state=task.state, committed_size=committed, problem=task.problem
        )


class _File:
    """gateway.intake.form.IncomingFile, as far as it is used."""

    filename = "Sales.csv"

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), 65536):
            yield self._data[start : start + 65536]


def _sent_through_the_edge(data: bytes) -> Stage:
    async def run(plan: Plan) -> None:
        world = World(Plan())
        edge = Failing(_Edge(world), GRPC, plan)
        accepted = []
        # The client asks again under the same id, as it is told to.
        for _ in range(2):
            with suppress(SluiceError, ValueError):
                destination = Destination("r1", "sales", LoadMode.LOAD_MODE_APPEND, False)
                upload = await receive(edge, _File(data), destination)  # type: ignore[arg-type]
                accepted.append(upload.upload_id)
                break
        await world.settle()
        world.check(data, accepted)

    return run


async def _swept(plan: Plan) -> None:
    """A process died while a large file arrived and before anybody was told: what it left is
    found.
    """
    world = World(plan)
    found = await world.tasks.create(_request("r9", world.store.uri("uploads/sales/a.csv")))
    uri = found[0].file_uri
    multipart_id = await world.store.open_multipart(uri, resumable=False)
    await world.store.put_part(uri, multipart_id, 1, bytearray(SMALL), crc32c.crc32c(SMALL))
    await world.settle()
    world.check(SMALL, [])


def _request(request_id: str, uri: str) -> CreateTaskRequest:
    return CreateTaskRequest(
        request_id=request_id,
        task_id="t9",
        datasource="sales",
        filename="a.csv",
        file_uri=uri,
        upload_mode=UploadMode.UPLOAD_MODE_ONE_SHOT,
    )


STAGES: dict[str, Stage] = {
    "upload, a small file": _received(SMALL, Finish(None, b"")),
    "upload, a file in parts": _received(LARGE, Finish(len(LARGE), hashlib.sha256(LARGE).digest())),
    "upload, a damaged file": _received(LARGE, Finish(len(LARGE) + 1, b"")),
    "edge, a small file": _sent_through_the_edge(SMALL),
    "edge, a file in parts": _sent_through_the_edge(LARGE),
    "sweep": _swept,
}
