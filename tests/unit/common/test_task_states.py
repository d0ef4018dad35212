"""Task states: task.proto lists them, and the necessary copies are equal."""

import re
from pathlib import Path

import pytest

from services.common import task_states
from services.status.tasks.machine import LOADED, TERMINAL, State, cancel, is_worked_on
from sluice.common.v1.errors_pb2 import Problem
from sluice.common.v1.task_pb2 import TaskState

ROOT = Path(__file__).parents[3]


def test_names_of_all_states_and_of_one_that_a_newer_release_added() -> None:
    assert task_states.name_of(TaskState.TASK_STATE_PENDING) == "PENDING"
    assert [task_states.state_of(name) for name in task_states.NAMES] == list(task_states.STATES)
    assert task_states.name_of(99) == "UNKNOWN"  # type: ignore[arg-type]
    assert not task_states.info_of(99).terminal  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="UNKNOWN"):
        task_states.state_of("UNKNOWN")


@pytest.mark.parametrize("state", State)
def test_the_properties_of_a_state_are_consistent(state: State) -> None:
    info = task_states.info_of(task_states.state_of(state))
    assert (state in TERMINAL) == info.terminal
    assert not (
        info.terminal and (info.worked_on or info.cancellable or info.in_druid or info.stage)
    )
    assert (cancel(state, Problem()) is not None) == info.cancellable
    assert is_worked_on(state) or state in TERMINAL | {State.PENDING, State.PLANNED}
    assert not info.in_druid or (info.worked_on and state in LOADED)


def test_the_copies_in_sql_and_on_the_page_have_every_state() -> None:
    first = (ROOT / "services/status/migrations/versions/0001_tasks.py").read_text()
    checks = re.findall(r"CONSTRAINT (?:status|state)_known CHECK \(\w+ IN \(([^)]+)\)", first)
    assert len(checks) == 2
    for check in checks:
        assert re.findall(r"'(\w+)'", check) == list(task_states.NAMES)
    page = (ROOT / "frontend/src/api/states.ts").read_text()
    row = re.compile(r'^  (\w+): { group: "(\w+)", tone: "\w+"(?:, stage: "(\w+)")? },$', re.M)
    infos = {name: task_states.info_of(task_states.state_of(name)) for name in task_states.NAMES}
    assert {name: (group == "running", stage) for name, group, stage in row.findall(page)} == {
        name: (not info.terminal, info.stage) for name, info in infos.items()
    }
    texts = (ROOT / "frontend/src/texts.ts").read_text()
    found = re.search(r"\n +PENDING: (?:.*\n)+? +}", texts)
    assert found
    assert set(re.findall(r"\b([A-Z]{4,}):", found.group())) == set(task_states.NAMES)
