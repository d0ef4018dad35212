"""Druid's official roles and their settings, one process each.

Everything in this package that depends on Druid's version is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.ports import HOST, Ports

TASK_SLOTS = 4
"""Concurrent tasks of the indexer: a parallel load of two parts uses three; a small load fits next
to it.
"""

FIRST_HEAP = "-Xms96m"
"""Initial heap of broker and historical. The maximum is far higher: Druid allocates 200 MB for each
sort of a join and for each window function, however few rows there are."""

COORDINATOR_SERVICE = "druid/coordinator"
OVERLORD_SERVICE = "druid/overlord"


@dataclass(frozen=True)
class Role:
    """A role: Druid's name, the name of its port, JVM memory options and settings."""

    druid_name: str
    port: str
    memory: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The program's name in the stack."""
        return f"druid_{self.druid_name}"


def roles(data: Path, scratch: Path) -> list[Role]:
    """Return Druid's five roles."""
    return [
        Role(
            "coordinator",
            "DRUID_COORDINATOR",
            ("-Xms96m", "-Xmx256m", "-XX:TieredStopAtLevel=1"),
            {
                "druid.service": COORDINATOR_SERVICE,
                "druid.coordinator.asOverlord.enabled": "true",
                "druid.coordinator.asOverlord.overlordService": OVERLORD_SERVICE,
                "druid.coordinator.startDelay": "PT0.1S",
                "druid.coordinator.period": "PT1S",
                "druid.coordinator.segment.awaitInitializationOnStart": "false",
                # A historical's response can be lost (ADR 0025): retry soon, and immediately after
                # a failed call. The defaults are five minutes and one minute.
                "druid.coordinator.loadqueuepeon.http.hostTimeout": "PT5S",
                "druid.coordinator.loadqueuepeon.http.repeatDelay": "PT1S",
                # Reverts need the unused segments.
                "druid.coordinator.kill.on": "false",
                "druid.manager.segments.pollDuration": "PT1S",
                "druid.manager.rules.pollDuration": "PT5S",
                "druid.indexer.queue.startDelay": "PT0S",
                "druid.indexer.runner.type": "httpRemote",
                # Fail the tasks of a dead worker after one minute instead of five.
                "druid.indexer.runner.taskAssignmentTimeout": "PT1M",
                "druid.indexer.storage.type": "metadata",
                # Batched allocation can leak a lock of a task that was just stopped (ADR 0020).
                "druid.indexer.tasklock.batchSegmentAllocation": "false",
            },
        ),
        Role(
            "broker",
            "DRUID_BROKER",
            (FIRST_HEAP, "-Xmx768m", "-XX:MaxDirectMemorySize=256m"),
            {
                "druid.service": "druid/broker",
                "druid.broker.segment.awaitInitializationOnStart": "false",
                "druid.broker.http.numConnections": "10",
                "druid.broker.http.maxQueuedBytes": "10MiB",
                "druid.sql.enable": "true",
                "druid.sql.planner.metadataRefreshPeriod": "PT1S",
                **_processing(scratch),
            },
        ),
        Role(
            "historical",
            "DRUID_HISTORICAL",
            (FIRST_HEAP, "-Xmx640m", "-XX:MaxDirectMemorySize=256m"),
            {
                "druid.service": "druid/historical",
                "druid.segmentCache.locations": _json_location(data / "segment-cache"),
                "druid.segmentCache.numLoadingThreads": "2",
                **_processing(scratch),
            },
        ),
        Role(
            "indexer",
            "DRUID_INDEXER",
            # With a heap of 1 GiB, a load of 200 MB spends half its time in garbage collection.
            ("-Xms256m", "-Xmx2g", "-XX:MaxDirectMemorySize=512m"),
            {
                "druid.service": "druid/indexer",
                "druid.worker.capacity": str(TASK_SLOTS),
                # With fewer merges than tasks, a small load waits minutes behind a big one.
                "druid.worker.numConcurrentMerges": str(TASK_SLOTS),
                # The default is a sixth of the heap for all tasks together.
                "druid.worker.globalIngestionHeapLimitBytes": "700000000",
                "druid.indexer.task.baseTaskDir": str(data / "tasks"),
                "druid.indexer.task.baseDir": str(data / "tasks"),
                "druid.indexer.task.restoreTasksOnRestart": "false",
                **_processing(scratch),
            },
        ),
        Role(
            "router",
            "DRUID_ROUTER",
            ("-Xms64m", "-Xmx128m", "-XX:MaxDirectMemorySize=128m", "-XX:TieredStopAtLevel=1"),
            {
                "druid.service": "druid/router",
                "druid.router.defaultBrokerServiceName": "druid/broker",
                "druid.router.coordinatorServiceName": COORDINATOR_SERVICE,
                # One address for everything: SQL, tasks and segments.
                "druid.router.managementProxy.enabled": "true",
                "druid.router.http.numConnections": "20",
                "druid.router.http.numMaxThreads": "20",
                "druid.router.http.readTimeout": "PT5M",
                "druid.sql.enable": "true",
            },
        ),
    ]


def common_settings(ports: Ports, data: Path) -> dict[str, str]:
    """Return the settings that all roles share."""
    derby = data / "metadata"
    return {
        "druid.host": HOST,
        "druid.bindOnHost": "true",
        # Local deep storage, Derby and HTTP inputs need no extension.
        "druid.extensions.loadList": "[]",
        "druid.zk.service.host": f"{HOST}:{ports['ZOOKEEPER']}",
        "druid.zk.paths.base": "/druid",
        "druid.metadata.storage.type": "derby",
        "druid.metadata.storage.connector.host": HOST,
        "druid.metadata.storage.connector.port": str(ports["DERBY"]),
        "druid.metadata.storage.connector.connectURI": (
            f"jdbc:derby://{HOST}:{ports['DERBY']}/{derby};create=true"
        ),
        "druid.storage.type": "local",
        "druid.storage.storageDirectory": str(data / "segments"),
        "druid.indexer.logs.type": "file",
        "druid.indexer.logs.directory": str(data / "task-logs"),
        "druid.selectors.coordinator.serviceName": COORDINATOR_SERVICE,
        "druid.selectors.indexing.serviceName": OVERLORD_SERVICE,
        # Otherwise the http input source could read other protocols, including files.
        "druid.ingestion.http.allowedProtocols": '["http","https"]',
        "druid.ingestion.hdfs.allowedProtocols": "[]",
        "druid.emitter": "noop",
        "druid.startup.logging.logProperties": "false",
        "druid.request.logging.type": "noop",
        "druid.server.http.gracefulShutdownTimeout": "PT0.5S",
        "druid.server.http.unannouncePropagationDelay": "PT0S",
        "druid.server.http.numThreads": "30",
        "druid.server.http.showDetailedJettyErrors": "true",
        "druid.global.http.numConnections": "10",
        "druid.global.http.eagerInitialization": "false",
        "druid.lookup.enableLookupSyncOnStartup": "false",
        "druid.javascript.enabled": "false",
    }


def _processing(scratch: Path) -> dict[str, str]:
    return {
        "druid.processing.numThreads": "2",
        "druid.processing.numMergeBuffers": "2",
        "druid.processing.buffer.sizeBytes": "16MiB",
        "druid.processing.tmpDir": str(scratch),
    }


def _json_location(path: Path) -> str:
    quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'[{{"path":"{quoted}","maxSize":"100GiB"}}]'
