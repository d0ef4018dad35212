"""Injects the faults of a plan."""

import asyncio
import signal
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import asyncpg

from local.errors import LocalStackError
from local.instance import Instance
from tests.chaos.fleet import Fleet
from tests.chaos.plan import STORES, Action, Fault
from tests.chaos.proxy import Mode

_MODES = {Action.REFUSE: Mode.REFUSING, Action.STALL: Mode.STALLED, Action.DEAF: Mode.DEAF}


@dataclass(frozen=True)
class World:
    """Everything that can be disrupted."""

    instance: Instance
    fleet: Fleet
    database_url: str
    schema: str


async def strike(world: World, fault: Fault) -> int:
    """Inject the fault, and end it after its duration. Returns the id of the replica's process that
    was killed or terminated, else 0.
    """
    fleet = world.fleet
    match fault.action:
        case Action.KILL:
            return fleet.replicas[fault.target].signal(signal.SIGKILL)
        case Action.TERM:
            return fleet.replicas[fault.target].signal(signal.SIGTERM)
        case Action.FREEZE:
            fleet.replicas[fault.target].signal(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            fleet.replicas[fault.target].signal(signal.SIGCONT)
        case Action.RESTART:
            # It cannot be killed during a restart.
            with suppress(LocalStackError, ProcessLookupError):
                await asyncio.to_thread(world.instance.kill, fault.target, signal.SIGKILL)
        case Action.OUTAGE:
            # Two outages of one store may overlap.
            with suppress(xmlrpc.client.Fault):
                await asyncio.to_thread(world.instance.stop_program, fault.target)
            await asyncio.sleep(fault.seconds)
            with suppress(xmlrpc.client.Fault):
                await asyncio.to_thread(world.instance.start_program, fault.target)
        case Action.CUT:
            fleet.links[fault.target].cut()
        case Action.BACKENDS:
            await _terminate_backends(world, fault.seconds)
        case _:
            fleet.links[fault.target].set(_MODES[fault.action])
            await asyncio.sleep(fault.seconds)
            fleet.links[fault.target].set(Mode.OPEN)
    return 0


async def heal(world: World) -> None:
    """End all faults, and wait until the stores are healthy."""
    for link in world.fleet.links.values():
        link.set(Mode.OPEN)
    for replica in world.fleet.replicas.values():
        replica.signal(signal.SIGCONT)
    for store in STORES:
        with suppress(xmlrpc.client.Fault):
            await asyncio.to_thread(world.instance.start_program, store)
    await asyncio.to_thread(world.instance.wait_healthy, *STORES)


async def _terminate_backends(world: World, seconds: float) -> None:
    """Terminate about 5 backends per second."""
    until = monotonic() + seconds
    while monotonic() < until:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            sql = await asyncpg.connect(
                world.database_url, timeout=3, server_settings={"application_name": "chaos"}
            )
            try:
                await sql.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name LIKE $1 || ' %' ORDER BY random() LIMIT 1""",
                    world.schema,
                )
            finally:
                sql.terminate()
        await asyncio.sleep(0.2)
