"""Waits until programs are healthy, and shows the ones that are not yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from local.errors import LocalStackError
from local.supervision.supervisor import Supervisor

POLL_SECONDS = 0.5

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""


def wait_until_healthy(
    checks: Mapping[str, Check],
    supervisor: Supervisor,
    logs: Path,
    timeout_seconds: float,
    console: Console,
) -> None:
    """Poll until each check has returned None once.

    Raises:
        LocalStackError: time is up, supervisord has exited, or a program cannot be started; names
            the unhealthy programs, the reasons and their logs.

    """
    began = time.monotonic()
    problems: dict[str, str] = dict.fromkeys(checks, "not checked yet")
    with (
        ThreadPoolExecutor(max_workers=max(1, len(checks))) as pool,
        console.status("Starting") as status,
    ):
        while problems:
            names = list(problems)
            answers = list(pool.map(lambda name: checks[name](), names))
            for name, problem in zip(names, answers, strict=True):
                if problem is None:
                    del problems[name]
                    elapsed = time.monotonic() - began
                    console.print(f"{elapsed:6.1f} s  {name} is healthy", highlight=False)
                else:
                    problems[name] = problem
            if not problems:
                return
            status.update(f"Waiting for {', '.join(problems)}")
            _fail_early(problems, supervisor, logs)
            if time.monotonic() - began > timeout_seconds:
                raise LocalStackError(
                    f"not healthy after {timeout_seconds:.0f} s:\n{_list(problems, logs)}"
                )
            time.sleep(POLL_SECONDS)


def _fail_early(problems: Mapping[str, str], supervisor: Supervisor, logs: Path) -> None:
    if not supervisor.running():
        raise LocalStackError(f"the process manager is not running: see {supervisor.log}")
    states = {state.name: state.state for state in supervisor.states()}
    failed = {name: problem for name, problem in problems.items() if states.get(name) == "FATAL"}
    if failed:
        raise LocalStackError(f"cannot be started:\n{_list(failed, logs)}")


def _list(problems: Mapping[str, str], logs: Path) -> str:
    return "\n".join(
        f"  {name}: {problem}\n    log: {logs / name}.log" for name, problem in problems.items()
    )
