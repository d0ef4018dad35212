"""Composition root of the upload service."""

import asyncio
from contextlib import AsyncExitStack

from services.common import s3
from services.common.addresses import HostNames
from services.common.serving import channels, server
from services.common.serving.cancelling import cancel
from services.upload.receiving.background import Background
from services.upload.receiving.callers import Callers
from services.upload.receiving.receiver import Receiver
from services.upload.receiving.tee import Tees
from services.upload.resuming.imports import Imports
from services.upload.resuming.uploads import Uploads
from services.upload.rpc.status import StatusRpc
from services.upload.rpc.validation import ValidationRpc
from services.upload.servicer import UploadServicer
from services.upload.settings import Settings
from services.upload.storing.s3 import S3ObjectStore
from services.upload.sweeping.cleanup import Cleanup
from services.upload.sweeping.sweeper import Sweeper
from sluice.upload.v1 import upload_pb2_grpc

CLEANUP_GRACE_S = 5.0
"""Seconds that work on interrupted uploads may take after the server has stopped."""

VERDICT_S = 300.0
"""Seconds that validation may take after the last byte of a file."""

GATEWAY_LOOKUPS = 8
"""Concurrency limit for resolving the host names of trusted gateways."""

SERVICE = "sluice.upload.v1.UploadService"


async def build(stack: AsyncExitStack, settings: Settings) -> int:
    """Start the service and return the port that it listens on. `stack` stops it."""
    # Each upload may have its parts in flight; 16 connections are left for small requests.
    connections = settings.max_concurrent_uploads * settings.parts_in_flight + 16
    client = await stack.enter_async_context(s3.client(settings, connections=connections))
    store = S3ObjectStore(client, settings.s3_bucket_name)
    channel = channels.connect(settings.status_addr)
    stack.push_async_callback(channel.close)
    tasks = StatusRpc(channel)
    background = Background()
    stack.push_async_callback(background.drain, CLEANUP_GRACE_S)
    cleanup = Cleanup(store)
    tees = Tees(await _validation(stack, settings))
    stack.push_async_callback(tees.close)
    receiver = Receiver(settings, store, tasks, cleanup, background, tees)
    uploads = Uploads(settings, store, tasks, cleanup, receiver)
    sweeping = asyncio.create_task(
        Sweeper(settings, store, tasks, cleanup, receiver).run(), name="sweeper"
    )
    stack.push_async_callback(cancel, sweeping)
    imports = Imports(settings, store, tasks, cleanup, receiver, background)
    names = HostNames(GATEWAY_LOOKUPS)
    stack.callback(names.close)
    callers = Callers(settings.trusted_gateways, names.resolve)
    servicer = UploadServicer(settings, uploads, receiver, imports, callers)
    port = await server.start(
        stack,
        settings,
        lambda running: upload_pb2_grpc.add_UploadServiceServicer_to_server(servicer, running),
        [SERVICE],
        {"s3": store.check},
    )
    stack.callback(receiver.stop)
    return port


async def _validation(stack: AsyncExitStack, settings: Settings) -> ValidationRpc | None:
    if settings.validation_addr is None:
        return None
    channel = channels.connect(settings.validation_addr)
    stack.push_async_callback(channel.close)
    return ValidationRpc(channel, settings.upload_total_timeout_s + VERDICT_S)
