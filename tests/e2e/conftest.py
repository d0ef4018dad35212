"""Clients of the running stack, as a user would have them."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import pytest

from local.stack import Stack
from tests.e2e.edge import Edge


@pytest.fixture
async def edge(stack: Stack) -> AsyncIterator[Edge]:
    """The REST door."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=60) as http:
        yield Edge(http)


@pytest.fixture
def new_datasource() -> Callable[[str], str]:
    """Makes datasource names that no other test uses."""
    return lambda name: f"{name}_{uuid4().hex[:8]}"
