"""The task row is the job: claiming it, keeping the claim alive, giving it back.

A claim is a lease until a moment of the database's clock. It is numbered: every claim raises
`attempt`, and all writes of a worker carry its number (store.py), so that a worker that lost its
lease without noticing changes nothing. The heartbeat runs in a thread with an event loop and a
connection of its own: what keeps the main loop busy, or its draining at the end, does not cost the
lease.
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
"""Seconds until a heartbeat that failed is tried again; a fifth of the lease where that is less."""

CLAIM_TRIES = 20
"""How often in a row a claim goes on to the next task while other workers are faster."""

STOP_S = 2.0
"""Seconds that are waited for the end of the heartbeat."""

_RELEASE = """
UPDATE ingestion_tasks SET worker = NULL, lease_until = NULL, next_run_at = clock_timestamp()
WHERE task_id = $1 AND attempt = $2 AND worker = $3
"""

_HEARTBEAT = """
UPDATE ingestion_tasks SET lease_until = clock_timestamp() + make_interval(secs => $2)
WHERE worker = $1 AND (task_id, attempt) IN (SELECT * FROM unnest($3::text[], $4::int[]))
RETURNING task_id, attempt, cancel_requested
"""

_TAKEN_OVER = "The worker that had the task has stopped; another one goes on with it."


class Leases:
    """The claims of one process. Open it with `start`, and `stop` it after the last `release`."""

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
        """For readiness: returns while the heartbeat runs. Without it this process loses every task
        that it claims."""
        silent_s = monotonic() - self._turned_at
        if not self._thread.is_alive() or silent_s > self._lease_s:
            raise RuntimeError(f"no heartbeat for {silent_s:.0f} s")

    async def stop(self) -> None:
        """Ends the heartbeat; one that hangs is left behind."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, STOP_S)

    async def claim(self, kind: Kind) -> Lease | None:
        """Takes the task whose turn it is; None where none of this kind is due.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE. A claim whose answer was lost runs out by itself.
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
        """No more heartbeats for a claim that was given back with a write, or lost."""
        with self._guard:
            self._leases.pop((lease.owner.task_id, lease.owner.attempt), None)

    async def release(self, lease: Lease) -> None:
        """Gives a claim back in the middle of a stage: another worker takes it at once. Does
        nothing where it was lost.
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
                reason="PostgreSQL is away; the lease runs out",
                lease_s=self._lease_s,
            )

    async def release_all(self) -> None:
        """Gives back what is still claimed."""
        with self._guard:
            held = list(self._leases.values())
        for lease in held:
            await self.release(lease)

    def cancel(self, task_id: str) -> None:
        """Wakes whoever works on the task here."""
        with self._guard:
            found = [lease for (held, _), lease in self._leases.items() if held == task_id]
        for lease in found:
            lease.cancelled.set()

    # What follows runs in the heartbeat's thread.

    def _beat_in_thread(self) -> None:
        pause = self._lease_s / 3
        while not self._stopping.is_set():
            try:
                asyncio.run(self._beat_until_stopped(pause))
            except (Exception, asyncio.CancelledError) as bug:
                # Whatever it was: the leases of this process depend on this thread.
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
