"""Clients of the running stack."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import pytest

from local.stack import Stack
from tests.e2e.gateway import Gateway


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[Gateway]:
    """A REST client."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=60) as http:
        yield Gateway(http)


@pytest.fixture
def new_datasource() -> Callable[[str], str]:
    """Return a function that makes unique datasource names."""
    return lambda name: f"{name}_{uuid4().hex[:8]}"
