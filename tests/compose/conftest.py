"""The deployment under test, built and started once."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from uuid import uuid4

import httpx
import pytest

from tests.compose.stack import Compose, copy_checkout, make_environment_files
from tests.e2e.gateway import Gateway


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Compose:
    """A copy of the files with environment files of its own; nothing runs."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    folder = tmp_path_factory.mktemp("deployment")
    copy_checkout(folder)
    make_environment_files(folder)
    return Compose(folder)


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a line that is shown in every run: figures are a result of these tests."""
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    assert capture is not None
    assert reporter is not None

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{text}")

    return write


def remove(checkout: Compose) -> None:
    """Containers, networks and volumes of the deployment: its stores keep the passwords that they
    were made with.
    """
    checkout.run(
        "down",
        "--volumes",
        "--remove-orphans",
        "--timeout",
        "10",
        layers=("observability",),
        check=False,
    )


@pytest.fixture(scope="session")
def compose(checkout: Compose, say: Callable[[str], None]) -> Iterator[Compose]:
    """Everything up and healthy; nothing of it is left at the end, nor of a run before that was cut
    off.
    """
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers: make test-compose starts one")
    remove(checkout)
    began = monotonic()
    checkout.run("build", timeout=900)
    built = monotonic()
    try:
        checkout.run("up", "--detach", "--wait", "--wait-timeout", "400", timeout=500)
        say(f"images built in {built - began:.0f} s, up and healthy in {monotonic() - built:.0f} s")
        yield checkout
    except AssertionError:
        say(checkout.logs())
        raise
    finally:
        remove(checkout)


@pytest.fixture
async def gateway(compose: Compose) -> AsyncIterator[Gateway]:
    """The REST door of the deployment."""
    async with httpx.AsyncClient(base_url=compose.gateway, timeout=60) as http:
        yield Gateway(http)


@pytest.fixture
def new_datasource() -> Callable[[str], str]:
    """Makes datasource names that no other test uses."""
    return lambda name: f"{name}_{uuid4().hex[:8]}"
