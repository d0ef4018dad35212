"""Checks of Druid: roles, version, extensions and settings that loads depend on."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from deploy.doctor.findings import Finding, clock, fault, ok, warning

SUBJECT = "druid"
VERSION = "33."
EXTENSIONS = ("druid-s3-extensions", "postgresql-metadata-storage")
PROPERTIES = "/proxy/coordinator/status/properties"

REQUIRED = [
    (
        "druid.coordinator.kill.on",
        "false",
        "unused segments are deleted permanently, so loads cannot be reverted",
    ),
    ("druid.storage.type", "s3", "segments are on the disk of one machine"),
    ("druid.metadata.storage.type", "postgresql", "metadata is on the disk of one machine"),
    ("druid.indexer.logs.type", "s3", "task logs are on the disk of one machine"),
]
"""Setting of the coordinator, its required value, and the consequence of another value."""

HOST_TIMEOUT = "druid.coordinator.loadqueuepeon.http.hostTimeout"
HOST_TIMEOUT_DEFAULT = "PT5M"
HOST_TIMEOUT_MAX_S = 30.0
"""Maximum wait for a historical's response, which can be lost (docs/adr/0025)."""


async def check(url: str) -> list[Finding]:
    """Check all roles through the router."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
            status = await http.get("/status")
            status.raise_for_status()
            properties = await _properties(http)
            return [
                _version(status.json()),
                _clock(status.headers.get("date", "")),
                *_extensions(properties),
                *_settings(properties),
                host_timeout(properties),
                *await _workers(http),
                *await _historicals(http),
                await _broker(http),
            ]
    except (httpx.HTTPError, ValueError) as failure:
        return [
            fault(
                SUBJECT,
                f"does not answer at {url}: {type(failure).__name__}",
                "Check DRUID_URL, and that router, coordinator and broker are running.",
            )
        ]


async def _properties(http: httpx.AsyncClient) -> dict[str, str]:
    answer = await http.get(PROPERTIES)
    answer.raise_for_status()
    return {str(name): str(value) for name, value in answer.json().items()}


def _version(status: dict[str, Any]) -> Finding:
    version = str(status.get("version"))
    if version.startswith(VERSION):
        return ok(SUBJECT, f"version {version}")
    return warning(
        SUBJECT,
        f"version {version}; Sluice is tested with {VERSION}0.0",
        "Try a sample load, and undo it, before you rely on it.",
    )


def _clock(date: str) -> Finding:
    return clock(
        SUBJECT, (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() if date else 0.0
    )


def _extensions(properties: dict[str, str]) -> list[Finding]:
    loaded = properties.get("druid.extensions.loadList", "")
    missing = [name for name in EXTENSIONS if name not in loaded]
    if not missing:
        return [ok(SUBJECT, f"extensions {', '.join(EXTENSIONS)}")]
    return [
        fault(
            SUBJECT,
            f"the extension {name} is not loaded",
            "Add it to druid.extensions.loadList of every role.",
        )
        for name in missing
    ]


def _settings(properties: dict[str, str]) -> list[Finding]:
    wrong = [
        fault(
            SUBJECT,
            f"{name} is {properties.get(name, 'not set')}: {meaning}",
            f"Set it to {value} and restart the coordinator.",
        )
        for name, value, meaning in REQUIRED
        if properties.get(name) != value
    ]
    return wrong or [ok(SUBJECT, "settings of the coordinator")]


def host_timeout(properties: dict[str, str]) -> Finding:
    """Check that the coordinator soon retries if a historical's response is lost."""
    value = properties.get(HOST_TIMEOUT, HOST_TIMEOUT_DEFAULT)
    seconds = _seconds(value)
    if seconds is not None and seconds <= HOST_TIMEOUT_MAX_S:
        return ok(SUBJECT, f"{HOST_TIMEOUT} is {value}")
    return warning(
        SUBJECT,
        f"{HOST_TIMEOUT} is {value}: if a historical's response is lost, new rows are not queryable for that time",
        "Set it to PT5S and restart the coordinator.",
    )


def _seconds(duration: str) -> float | None:
    """Return the seconds of an ISO 8601 duration of hours, minutes and seconds; None for others."""
    pattern = r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?"
    parts = re.fullmatch(pattern, duration.strip(), re.IGNORECASE)
    if parts is None or not any(parts.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


async def _workers(http: httpx.AsyncClient) -> list[Finding]:
    answer = await http.get("/druid/indexer/v1/workers")
    answer.raise_for_status()
    workers = [entry["worker"] for entry in answer.json()]
    slots = sum(int(worker["capacity"]) for worker in workers)
    if not slots:
        return [
            fault(
                SUBJECT,
                "has no worker, so nothing can be loaded",
                "Start the middle manager; its log says why it does not register.",
            )
        ]
    if slots < 2:
        return [
            warning(
                SUBJECT,
                "has only one task slot, so loads wait for each other",
                "Raise druid.worker.capacity.",
            )
        ]
    return [ok(SUBJECT, f"{len(workers)} workers with {slots} task slots")]


async def _historicals(http: httpx.AsyncClient) -> list[Finding]:
    answer = await http.get("/druid/coordinator/v1/servers", params={"simple": ""})
    answer.raise_for_status()
    servers = [server for server in answer.json() if server.get("type") == "historical"]
    if not servers:
        return [
            fault(
                SUBJECT,
                "has no historical, so no row can be queried",
                "Start the historical; its log says why it does not register.",
            )
        ]
    full = [server["host"] for server in servers if server["currSize"] > 0.9 * server["maxSize"]]
    if full:
        return [
            warning(
                SUBJECT,
                f"{', '.join(full)} is nearly full",
                "Raise druid.segmentCache.locations or add a historical.",
            )
        ]
    return [ok(SUBJECT, f"{len(servers)} historicals with free space")]


async def _broker(http: httpx.AsyncClient) -> Finding:
    answer = await http.post("/druid/v2/sql", json={"query": "SELECT 1"})
    if answer.is_success:
        return ok(SUBJECT, "answers SQL")
    return fault(
        SUBJECT,
        f"rejects SQL with status {answer.status_code}",
        "Start the broker; druid.sql.enable must be true.",
    )
