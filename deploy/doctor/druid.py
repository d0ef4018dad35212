"""Druid: all roles there, of one known version, with the extensions and settings that loads depend
on.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from deploy.doctor.findings import Finding, clock, fault, ok, warning

SUBJECT = "druid"
VERSION = "33."
EXTENSIONS = ("druid-s3-extensions", "postgresql-metadata-storage")
PAGES = {
    "coordinator": "/proxy/coordinator/status/properties",
    "overlord": "/proxy/overlord/status/properties",
}

WANTED = [
    (
        "druid.coordinator.kill.on",
        "false",
        "unused segments are deleted for good, so that a load cannot be undone",
    ),
    ("druid.storage.type", "s3", "segments are on the disk of one machine"),
    ("druid.metadata.storage.type", "postgresql", "metadata are on the disk of one machine"),
    ("druid.indexer.logs.type", "s3", "the logs of tasks are on the disk of one machine"),
]
"""Setting of the coordinator, the value that it should have, and what is the case otherwise."""

HOST_TIMEOUT = "druid.coordinator.loadqueuepeon.http.hostTimeout"
HOST_TIMEOUT_DEFAULT = "PT5M"
HOST_TIMEOUT_MAX_S = 30.0
"""How long the coordinator may wait for a historical's answer; it can be lost (docs/adr/0025)."""


async def check(url: str) -> list[Finding]:
    """Asks the router, which hands on to the others."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
            status = await http.get("/status")
            status.raise_for_status()
            found = [
                _version(status.json()),
                _clock(status.headers.get("date", "")),
                *_extensions(await _properties(http)),
            ]
            found += _settings(await _properties(http))
            found.append(host_timeout(await _properties(http)))
            found += await _workers(http)
            found += await _historicals(http)
            found.append(await _broker(http))
            return found
    except (httpx.HTTPError, ValueError) as failure:
        return [
            fault(
                SUBJECT,
                f"does not answer at {url}: {type(failure).__name__}",
                "Check DRUID_URL, and that router, coordinator and broker run.",
            )
        ]


async def _properties(http: httpx.AsyncClient) -> dict[str, str]:
    answer = await http.get(PAGES["coordinator"])
    answer.raise_for_status()
    return {str(name): str(value) for name, value in answer.json().items()}


def _version(status: dict[str, Any]) -> Finding:
    version = str(status.get("version"))
    if version.startswith(VERSION):
        return ok(SUBJECT, f"version {version}")
    return warning(
        SUBJECT,
        f"version {version}; Sluice was proved on {VERSION}0.0",
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
        for name, value, meaning in WANTED
        if properties.get(name) != value
    ]
    return wrong or [ok(SUBJECT, "settings of the coordinator")]


def host_timeout(properties: dict[str, str]) -> Finding:
    """Whether an answer of a historical that is lost is soon asked for again."""
    value = properties.get(HOST_TIMEOUT, HOST_TIMEOUT_DEFAULT)
    seconds = _seconds(value)
    if seconds is not None and seconds <= HOST_TIMEOUT_MAX_S:
        return ok(SUBJECT, f"{HOST_TIMEOUT} is {value}")
    return warning(
        SUBJECT,
        f"{HOST_TIMEOUT} is {value}: when the answer of a historical is lost, no new rows can be queried for that time",
        "Set it to PT5S and restart the coordinator.",
    )


def _seconds(duration: str) -> float | None:
    """The length of an ISO 8601 duration of hours, minutes and seconds, else None."""
    form = r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?"
    parts = re.fullmatch(form, duration.strip(), re.IGNORECASE)
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
                "Start middlemanager; its log says why it does not register.",
            )
        ]
    if slots < 2:
        return [
            warning(
                SUBJECT,
                "has a single task slot, so loads wait for each other",
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
                "Start historical; its log says why it does not register.",
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
    return [ok(SUBJECT, f"{len(servers)} historicals with room")]


async def _broker(http: httpx.AsyncClient) -> Finding:
    answer = await http.post("/druid/v2/sql", json={"query": "SELECT 1"})
    if answer.is_success:
        return ok(SUBJECT, "answers SQL")
    return fault(
        SUBJECT,
        f"refuses SQL with status {answer.status_code}",
        "Start broker; druid.sql.enable must be true.",
    )
