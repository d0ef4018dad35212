"""The tested deployment, built and started once."""

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
    """A copy of the checkout with its own environment files; nothing is running."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    folder = tmp_path_factory.mktemp("deployment")
    copy_checkout(folder)
    make_environment_files(folder)
    return Compose(folder)


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return a function that prints a line even if output is captured."""
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    assert capture is not None
    assert reporter is not None

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{text}")

    return write


def remove(checkout: Compose) -> None:
    """Remove containers, networks and volumes, because stores keep their first passwords."""
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
    """The healthy deployment; removed at the end, like the remains of an interrupted run."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine: make test-compose starts one")
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
    """A REST client of the deployment."""
    async with httpx.AsyncClient(base_url=compose.gateway, timeout=60) as http:
        yield Gateway(http)


@pytest.fixture
def new_datasource() -> Callable[[str], str]:
    """Return a function that makes unique datasource names."""
    return lambda name: f"{name}_{uuid4().hex[:8]}"
