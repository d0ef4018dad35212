"""Clients of the running stack."""

from tests.e2e.conftest import gateway, new_datasource

__all__ = ["gateway", "new_datasource"]
