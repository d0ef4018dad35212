"""The ids that loads have in Druid."""

PREFIX = "sluice-"
"""Distinguishes our Druid tasks from those of other programs."""


def druid_task_id(task_id: str, load_attempt: int) -> str:
    """The Druid task id of a load. It is fixed, so that Druid recognizes a repeated submit."""
    return f"{PREFIX}{task_id}-{load_attempt}"
