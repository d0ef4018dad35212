"""Druid's paths, and names that differ between its versions, tested with 33.0.0. All requests go to
the router, with its management proxy enabled.
"""

from urllib.parse import quote

ROUTER_HEALTH = "/status/health"
# The leader paths respond with an error if there is no leader.
OVERLORD_LEADER = "/druid/indexer/v1/leader"
COORDINATOR_LEADER = "/druid/coordinator/v1/leader"
WORKERS = "/druid/indexer/v1/workers"

SUBMIT_TASK = "/druid/indexer/v1/task"
TASK_STATUSES = "/druid/indexer/v1/taskStatus"
TASKS = "/druid/indexer/v1/tasks"
SUB_TASK_TYPE = "single_phase_sub_task"

ACTIVE_LOCKS = "/druid/indexer/v1/activeLocks"
REWRITING_TYPES = frozenset({"compact", "index_parallel", "index", "query_controller"})
"""Types of tasks that replace segments. Streaming tasks only append."""

SQL = "/druid/v2/sql"
NATIVE_QUERY = "/druid/v2/"

TASK_EXISTS = "entryAlreadyExists"
"""`errorCode` of a submit with an id that Druid already knows."""

FORBIDDEN_SCHEMAS = frozenset({"sys", "lookup", "view", "ext"})
"""SQL schemas other than `druid` and INFORMATION_SCHEMA, in lower case: server internals, lookups,
views and external inputs.
"""


def task(task_id: str) -> str:
    """The submitted task."""
    return f"/druid/indexer/v1/task/{quote(task_id, safe='')}"


def task_status(task_id: str) -> str:
    """Status of the task, with times."""
    return f"{task(task_id)}/status"


def task_reports(task_id: str) -> str:
    """Reports of the task, live while it runs."""
    return f"{task(task_id)}/reports"


def task_shutdown(task_id: str) -> str:
    """Stops the task."""
    return f"{task(task_id)}/shutdown"


def load_status(datasource: str) -> str:
    """Percentage of the used segments that are loaded."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource, safe='')}/loadstatus"


def mark_unused(datasource: str) -> str:
    """Marks segments as unused."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource, safe='')}/markUnused"


def mark_used(datasource: str) -> str:
    """Marks segments as used."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource, safe='')}/markUsed"


def unused_segments(datasource: str) -> str:
    """The unused segments, with times."""
    return f"/druid/coordinator/v1/metadata/datasources/{quote(datasource, safe='')}/unusedSegments"


def sql_query(query_id: str) -> str:
    """A running SQL query."""
    return f"{SQL}/{quote(query_id, safe='')}"
