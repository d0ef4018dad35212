"""Clients of the running stack."""

from tests.e2e.conftest import edge, new_datasource

__all__ = ["edge", "new_datasource"]
