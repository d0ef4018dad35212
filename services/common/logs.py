"""Structured logs: one line per event on stderr, with the service, task id and trace id."""

import logging
import sys
from typing import cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from services.common import trace

Logger = FilteringBoundLogger


def _with_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if current := trace.current():
        event.setdefault("trace_id", current)
    return event


def configure(service: str, level: str = "info", format: str = "json") -> None:
    """Send the log lines of this process and its libraries to stderr. Call it once, at start."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)


def get() -> Logger:
    """Return the logger. Events are dotted names, facts are keywords.

    Example: `logs.get().info("upload.completed", size=3)`.
    """
    return cast(Logger, structlog.get_logger())


def bind(**facts: object) -> None:
    """Add facts such as task_id to all later lines of this context."""
    structlog.contextvars.bind_contextvars(**facts)
