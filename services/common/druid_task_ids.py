"""Ids of the Druid tasks of loads. Fixed, so that Druid recognizes a repeated submit."""

PREFIX = "sluice-"


def druid_task_id(task_id: str, load_attempt: int) -> str:
    """Return the id of a load attempt's Druid task."""
    return f"{PREFIX}{task_id}-{load_attempt}"
