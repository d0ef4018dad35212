"""Druid's addresses and names that differ between its versions, tried on 33.0.0. All are asked at
the router (management proxy on).
"""

from urllib.parse import quote

ROUTER_HEALTH = "/status/health"
OVERLORD_LEADER = "/druid/indexer/v1/leader"
COORDINATOR_LEADER = "/druid/coordinator/v1/leader"
WORKERS = "/druid/indexer/v1/workers"

SUBMIT_TASK = "/druid/indexer/v1/task"
TASK_STATUSES = "/druid/indexer/v1/taskStatus"
TASKS = "/druid/indexer/v1/tasks"
SUB_TASK_TYPE = "single_phase_sub_task"

ACTIVE_LOCKS = "/druid/indexer/v1/activeLocks"
REWRITING_TYPES = frozenset({"compact", "index_parallel", "index", "query_controller"})
"""Types of tasks that replace segments by others; those that stream rows in only append."""

SQL = "/druid/v2/sql"
NATIVE_QUERY = "/druid/v2/"

TASK_EXISTS = "entryAlreadyExists"
"""`errorCode` of a submit under an id that Druid knows."""

FORBIDDEN_SCHEMAS = frozenset({"sys", "lookup", "view", "ext"})
"""SQL schemas beside `druid` and INFORMATION_SCHEMA, in lower case: server internals, lookups,
views and external inputs.
"""


def task(task_id: str) -> str:
    """The task as it was submitted."""
    return f"/druid/indexer/v1/task/{quote(task_id, safe='')}"


def task_status(task_id: str) -> str:
    """The task's status, with times."""
    return f"{task(task_id)}/status"


def task_reports(task_id: str) -> str:
    """The task's reports, live ones while it runs."""
    return f"{task(task_id)}/reports"


def task_shutdown(task_id: str) -> str:
    """Stops the task."""
    return f"{task(task_id)}/shutdown"


def load_status(datasource: str) -> str:
    """Share of the used segments that are loaded."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource, safe='')}/loadstatus"


def mark_unused(datasource: str) -> str:
    """Makes segments disappear from queries."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource, safe='')}/markUnused"


def mark_used(datasource: str) -> str:
    """Makes unused segments appear again."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource, safe='')}/markUsed"


def unused_segments(datasource: str) -> str:
    """The unused segments, with times."""
    return f"/druid/coordinator/v1/metadata/datasources/{quote(datasource, safe='')}/unusedSegments"


def sql_query(query_id: str) -> str:
    """A running SQL query."""
    return f"{SQL}/{quote(query_id, safe='')}"
