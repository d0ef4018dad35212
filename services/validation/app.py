"""Puts the validation service together."""

import asyncio
from contextlib import AsyncExitStack

from services.common import s3, server
from services.common.handover import Handover
from services.validation.children import Children
from services.validation.inspections import Inspections
from services.validation.limits import Limits
from services.validation.s3 import S3ObjectStore
from services.validation.servicer import ValidationServicer
from services.validation.settings import Settings
from services.validation.spool import Spool
from services.validation.validation import Validation
from sluice.validation.v1 import validation_pb2_grpc

SERVICE = "sluice.validation.v1.ValidationService"


async def build(stack: AsyncExitStack, settings: Settings) -> int:
    """Starts the service; `stack` stops it. Returns the port that it listens on."""
    client = await stack.enter_async_context(s3.client(settings))
    store = S3ObjectStore(client, settings.s3_bucket_name)
    spool = Spool(settings.spool_dir, settings.spool_max_bytes // (settings.max_children + settings.max_inspections))
    stack.callback(spool.close)
    children = Children(spool.bytes_per_job)
    stack.push_async_callback(children.stop)
    await children.start()
    limits = Limits(
        max_columns=settings.max_columns,
        max_cells=settings.max_cells,
        max_inflated_bytes=settings.max_inflated_bytes,
        max_parts=settings.max_parts,
        rejects_workbook_rows=settings.rejects_workbook_rows,
    )
    places = asyncio.Semaphore(settings.max_children)
    inspections = Inspections(
        spool,
        children,
        limits,
        places,
        max_open=settings.max_inspections,
        keep_s=settings.inspect_keep_s,
        memory_bytes=settings.child_memory_bytes,
        timeout_s=settings.child_timeout_s,
    )
    stack.push_async_callback(inspections.close)
    validation = Validation(store, spool, children, limits, inspections, places, settings.child_memory_bytes, settings.child_timeout_s)
    handover = Handover("validation")
    servicer = ValidationServicer(validation, inspections, handover)
    port = await server.start(
        stack,
        settings,
        lambda running: validation_pb2_grpc.add_ValidationServiceServicer_to_server(servicer, running),
        [SERVICE],
        {"s3": store.check},
    )
    stack.callback(handover.stop)
    return port
