"""Typed async client of Sluice."""

from sluice_client.client import TERMINAL, Column, QueryResult, SluiceClient
from sluice_client.errors import SluiceClientError

__all__ = ["TERMINAL", "Column", "QueryResult", "SluiceClient", "SluiceClientError"]
