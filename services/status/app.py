"""The composition root of a status process: opens its parts in order, and closes them in reverse."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from services.common import logs
from services.common.serving import server
from services.common.serving.cancelling import cancel
from services.common.serving.channels import connect
from services.status.db.database import Database
from services.status.db.history import History
from services.status.db.leases import Leases
from services.status.db.listener import CANCEL, DUE, EVENT, WEBHOOK, Listener
from services.status.db.load_records import LoadRecords
from services.status.db.quality import QualityRecords
from services.status.db.queue import Queue
from services.status.db.store import Store
from services.status.db.stored_files import StoredFiles
from services.status.db.webhook_deliveries import WebhookDeliveries
from services.status.db.webhook_records import Webhooks
from services.status.pipeline.gate import Gate
from services.status.pipeline.runner import Pipeline
from services.status.pipeline.workers import Workers
from services.status.rpc.druid import LoadsRpc
from services.status.rpc.files import FilesRpc
from services.status.rpc.validation import ValidationRpc
from services.status.servicer import StatusServicer
from services.status.settings import Settings
from services.status.tasks.commands import Commands
from services.status.tasks.event_feed import Watch
from services.status.tasks.housekeeping import Housekeeping
from services.status.tasks.plans import Plans
from services.status.webhooks.delivery import WebhookHttp
from services.status.webhooks.sender import AT_ONCE, WebhookSender
from services.status.webhooks.targets import Targets
from sluice.status.v1.status_pb2_grpc import add_StatusServiceServicer_to_server

SERVICE = "sluice.status.v1.StatusService"

CALL_PATIENCE_S = 2.0
"""Seconds for which a call retries while PostgreSQL is unavailable."""

PIPELINE_PATIENCE_S = 30.0
"""The same for the pipeline, which would otherwise repeat its work."""


async def build(stack: AsyncExitStack, settings: Settings) -> int:
    """Starts the service and its pipeline on `stack` and returns the port. It is NOT_SERVING while
    PostgreSQL is unavailable.
    """
    database = Database(settings.database_url, settings.database_connections)
    await database.open(stack)
    store = Store(database, CALL_PATIENCE_S)
    watch = Watch(store)

    leases = Leases(database, settings.database_url, settings.lease_s)
    upload, validation, druid = (
        connect(address)
        for address in (settings.upload_addr, settings.validation_addr, settings.druid_gateway_addr)
    )
    for channel in (upload, validation, druid):
        stack.push_async_callback(channel.close)
    posting, targets = WebhookHttp(), Targets(settings.webhook_allowed_networks, AT_ONCE)
    stack.push_async_callback(posting.close)
    stack.callback(targets.close)
    webhooks = Webhooks(database, targets, CALL_PATIENCE_S)
    deliveries = WebhookDeliveries(database, PIPELINE_PATIENCE_S)
    sender = WebhookSender(deliveries, targets, posting.post)
    await _keep_running(stack, "webhooks", sender.run)
    queue = Queue(database, settings.pipeline_workers, CALL_PATIENCE_S)
    files = StoredFiles(database, FilesRpc(upload, validation), CALL_PATIENCE_S)
    gate = Gate()
    pipeline_store, records = (
        Store(database, PIPELINE_PATIENCE_S),
        LoadRecords(database, PIPELINE_PATIENCE_S),
    )
    pipeline_quality = QualityRecords(database, PIPELINE_PATIENCE_S)
    pipeline = Pipeline(
        pipeline_store,
        records,
        leases,
        pipeline_quality,
        ValidationRpc(validation),
        LoadsRpc(druid, gate),
        gate,
        settings,
    )
    files_at_once = settings.validation_workers if settings.pipeline_workers else 0
    workers = Workers(leases, pipeline, gate, files_at_once, settings.pipeline_workers)

    handlers: dict[str, Callable[[str], None]] = {
        EVENT: watch.notify,
        CANCEL: leases.cancel,
        DUE: lambda _: workers.wake(),
        WEBHOOK: lambda _: sender.wake(),
    }

    def on_notify(channel: str, payload: str) -> None:
        handlers[channel](payload)

    def on_connect() -> None:
        watch.notify()
        workers.wake()

    listener = Listener(database, settings.database_url, on_notify, on_connect)
    await _keep_running(stack, "listener", listener.run)
    await _keep_running(stack, "watch", watch.run)

    await _keep_running(stack, "housekeeping", Housekeeping(store, files, settings).run)

    history, undoing = History(database, CALL_PATIENCE_S), LoadRecords(database, CALL_PATIENCE_S)
    commands, quality = Commands(store), QualityRecords(database, CALL_PATIENCE_S)
    plans = Plans(commands, undoing, store, ValidationRpc(validation), LoadsRpc(druid, gate))
    servicer = StatusServicer(
        commands, files, queue, history, webhooks, quality, store, undoing, plans, watch
    )
    leases.start()
    stack.push_async_callback(leases.stop)
    port = await server.start(
        stack,
        settings,
        lambda grpc_server: add_StatusServiceServicer_to_server(servicer, grpc_server),
        [SERVICE],
        {"postgresql": database.check, "heartbeat": leases.check},
    )
    # Closed before the server: the watch streams end, and the leases are released at once.
    stack.push_async_callback(watch.close)
    working = asyncio.create_task(workers.run(), name="workers")
    stack.push_async_callback(_stop_workers, workers, working)
    return port


async def _stop_workers(workers: Workers, working: "asyncio.Task[None]") -> None:
    await workers.stop()
    await asyncio.wait([working])
    await workers.stop()


async def _keep_running(
    stack: AsyncExitStack, name: str, run: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Runs `run` until the stack is closed, and restarts it after an unexpected exception."""

    async def keep() -> None:
        while True:
            try:
                await run()
            except Exception as bug:
                logs.get().error("background.broke", name=name, exc_info=bug)
            await asyncio.sleep(1)

    stack.push_async_callback(cancel, asyncio.create_task(keep(), name=name))
