"""Composition root of the validation service."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict

from services.common import logs, s3
from services.common.serving import server
from services.common.serving.handover import Handover
from services.validation.process.children import Children
from services.validation.process.inspections import Inspections
from services.validation.process.limits import Limits
from services.validation.process.memory import available, share_out
from services.validation.process.spool import Spool
from services.validation.s3 import S3ObjectStore
from services.validation.servicer import ValidationServicer
from services.validation.settings import Settings
from services.validation.validation import Validation
from sluice.validation.v1 import validation_pb2_grpc

SERVICE = "sluice.validation.v1.ValidationService"


async def build(stack: AsyncExitStack, settings: Settings) -> int:
    """Starts the service; `stack` stops it. Returns its port.

    Raises:
        MemoryTooSmallError: the memory is too small to read a file.
    """
    client = await stack.enter_async_context(s3.client(settings))
    store = S3ObjectStore(client, settings.s3_bucket_name)
    memory = share_out(
        settings.memory_max_bytes or available(),
        settings.max_children,
        settings.max_inspections,
        settings.child_memory_bytes,
        settings.inspect_memory_bytes,
    )
    logs.get().info("memory.shared_out", **asdict(memory))
    files = memory.children + memory.inspections
    spool = Spool(settings.spool_dir, settings.spool_max_bytes // files)
    stack.callback(spool.close)
    children = Children(spool.bytes_per_job, memory.alone_bytes)
    stack.push_async_callback(children.stop)
    await children.start()
    limits = Limits(
        max_columns=settings.max_columns,
        max_cells=settings.max_cells,
        max_inflated_bytes=settings.max_inflated_bytes,
        max_parts=settings.max_parts,
        rejects_workbook_rows=settings.rejects_workbook_rows,
    )
    reading_slots = asyncio.Semaphore(memory.children)
    inspections = Inspections(
        spool,
        children,
        limits,
        reading_slots,
        max_open=memory.inspections,
        keep_s=settings.inspect_keep_s,
        memory_bytes=memory.child_bytes,
        arriving_bytes=memory.inspection_bytes,
        timeout_s=settings.child_timeout_s,
    )
    stack.push_async_callback(inspections.close)
    validation = Validation(
        store,
        spool,
        children,
        limits,
        inspections,
        reading_slots,
        memory.child_bytes,
        settings.child_timeout_s,
    )
    handover = Handover("validation")
    servicer = ValidationServicer(validation, inspections, handover)
    port = await server.start(
        stack,
        settings,
        lambda running: validation_pb2_grpc.add_ValidationServiceServicer_to_server(
            servicer, running
        ),
        [SERVICE],
        {"s3": store.check},
    )
    stack.callback(handover.stop)
    return port
