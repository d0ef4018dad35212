"""Leases on tasks: claim, heartbeat, release (ADR 0001).

A lease ends at a time of the database's clock. Every claim increments `attempt`, which is the
fencing token of all writes of its worker (store.py): a worker that lost its lease unnoticed changes
nothing. The heartbeat has its own thread, event loop and connection, so that neither a busy main
loop nor its draining at the end costs the lease.
"""

import asyncio
import os
import secrets
import socket
import threading
from time import monotonic

import asyncpg

from services.common import errors, logs
from services.status.db.database import FAILURES, Connection, Database, connect
from services.status.db.turns import claim
from services.status.tasks.queues import Kind
from services.status.tasks.task import Lease, Owner
from sluice.common.v1.errors_pb2 import ErrorReason

RETRY_S = 0.5
"""Seconds until a failed heartbeat is retried; at most a fifth of the lease."""

CLAIM_TRIES = 20
"""How many times a claim moves on to other tasks because other workers are faster."""

STOP_S = 2.0
"""Seconds to wait for the end of the heartbeat's thread."""

_RELEASE = """
UPDATE ingestion_tasks SET worker = NULL, lease_until = NULL, next_run_at = clock_timestamp()
WHERE task_id = $1 AND attempt = $2 AND worker = $3
"""

_HEARTBEAT = """
UPDATE ingestion_tasks SET lease_until = clock_timestamp() + make_interval(secs => $2)
WHERE worker = $1 AND (task_id, attempt) IN (SELECT * FROM unnest($3::text[], $4::int[]))
RETURNING task_id, attempt, cancel_requested
"""

_TAKEN_OVER = "The worker of the task has stopped; another one continues."


class Leases:
    """The leases of one process. Call `start` first, and `stop` after the last `release`."""

    def __init__(self, database: Database, database_url: str, lease_s: float) -> None:
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._database = database
        self._url = database_url
        self._lease_s = lease_s
        self._leases: dict[tuple[str, int], Lease] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._beat_in_thread, name="heartbeat", daemon=True)
        self._retry_s = min(RETRY_S, lease_s / 5)
        self._turned_at = monotonic()

    def start(self) -> None:
        """Starts the heartbeat; call it inside the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._turned_at = monotonic()
        self._thread.start()

    async def check(self) -> None:
        """Readiness: returns while the heartbeat runs. Without it this process loses its leases."""
        silent_s = monotonic() - self._turned_at
        if not self._thread.is_alive() or silent_s > self._lease_s:
            raise RuntimeError(f"no heartbeat for {silent_s:.0f} s")

    async def stop(self) -> None:
        """Stops the heartbeat. Abandons a thread that hangs."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, STOP_S)

    async def claim(self, kind: Kind) -> Lease | None:
        """Claims the next task; None if none of this kind is due.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE. A lease whose response was lost expires.
        """
        statement = claim(kind)

        async def work(connection: Connection) -> asyncpg.Record | None:
            contended: list[str] = []
            for _ in range(CLAIM_TRIES):
                row = await connection.fetchrow(
                    statement, self.worker, self._lease_s, _TAKEN_OVER, contended
                )
                if row is None or row["task_id"] is not None:
                    return row
                contended += row["contended"]
            return None

        row = await self._database.run(work, patience_s=0)
        if row is None:
            return None
        lease = Lease(Owner(row["task_id"], row["attempt"], self.worker))
        with self._guard:
            self._leases[row["task_id"], row["attempt"]] = lease
        if row["former"]:
            logs.get().warning(
                "job.taken_over",
                task_id=row["task_id"],
                attempt=row["attempt"],
                former=row["former"],
            )
        return lease

    def forget(self, lease: Lease) -> None:
        """Stops the heartbeats of a lease that a write released, or that is lost."""
        with self._guard:
            self._leases.pop((lease.owner.task_id, lease.owner.attempt), None)

    async def release(self, lease: Lease) -> None:
        """Releases a lease in the middle of a stage: another worker may claim the task at once.
        Does nothing if the lease is lost.
        """
        owner = lease.owner

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(_RELEASE, owner.task_id, owner.attempt, owner.worker)
                await connection.execute("SELECT pg_notify('sluice_due', '')")

        self.forget(lease)
        try:
            await self._database.run(work, patience_s=1)
        except errors.SluiceError as failure:
            if failure.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE:
                raise
            logs.get().warning(
                "job.not_released",
                reason="PostgreSQL is unavailable; the lease expires",
                lease_s=self._lease_s,
            )

    async def release_all(self) -> None:
        """Releases all leases."""
        with self._guard:
            held = list(self._leases.values())
        for lease in held:
            await self.release(lease)

    def cancel(self, task_id: str) -> None:
        """Notifies the worker of the task, if it is in this process."""
        with self._guard:
            for (held, _), lease in self._leases.items():
                if held == task_id:
                    lease.cancelled.set()

    # The methods below run in the heartbeat's thread.

    def _beat_in_thread(self) -> None:
        pause = self._lease_s / 3
        while not self._stopping.is_set():
            try:
                asyncio.run(self._beat_until_stopped(pause))
            except (Exception, asyncio.CancelledError) as bug:
                # The leases of this process depend on this thread.
                logs.get().error("job.heartbeat_broke", exc_info=bug)
                pause = self._retry_s

    async def _beat_until_stopped(self, pause: float) -> None:
        connection: asyncpg.Connection[asyncpg.Record] | None = None
        while not await asyncio.to_thread(self._stopping.wait, pause):
            self._turned_at = monotonic()
            with self._guard:
                held = list(self._leases)
            if not held:
                continue
            try:
                if connection is None or connection.is_closed():
                    connection = await connect(self._url, "heartbeat")
                await self._beat(connection, held)
                pause = self._lease_s / 3
            except Exception as failure:
                reason = f"{type(failure).__name__}: {failure}"[:300]
                bug = None if isinstance(failure, FAILURES) else failure
                logs.get().warning("job.heartbeat_failed", reason=reason, exc_info=bug)
                pause = self._retry_s
                if connection is not None:
                    connection.terminate()
                    connection = None
        if connection is not None:
            connection.terminate()

    async def _beat(
        self, connection: "asyncpg.Connection[asyncpg.Record]", held: list[tuple[str, int]]
    ) -> None:
        tasks, attempts = [task for task, _ in held], [attempt for _, attempt in held]
        rows = await connection.fetch(_HEARTBEAT, self.worker, self._lease_s, tasks, attempts)
        alive = {(row["task_id"], row["attempt"]): row["cancel_requested"] for row in rows}
        with self._guard:
            leases = {key: self._leases[key] for key in held if key in self._leases}
        for key, lease in leases.items():
            if key not in alive:
                self._set(lease.lost)
            elif alive[key]:
                self._set(lease.cancelled)

    def _set(self, event: asyncio.Event) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)
