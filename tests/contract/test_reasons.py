"""Every error code declares its statuses, actor and action."""

import re
from pathlib import Path

import pytest

from services.common import errors
from sluice.common.v1.errors_pb2 import Actor, ErrorReason

SOURCE = (Path(__file__).parents[2] / "protos/sluice/common/v1/errors.proto").read_text()
REASONS = [reason for reason in ErrorReason.values() if reason]
FINDINGS_ONLY = range(150, 200)
"""Codes of rows and columns, which never fail a call by themselves."""
OF_FILES = {*range(100, 120), *range(150, 170)}
"""Codes that users with just a file encounter; their action has an example."""


@pytest.mark.parametrize("reason", REASONS, ids=ErrorReason.Name)
def test_a_reason_is_complete(reason: "ErrorReason.ValueType") -> None:
    info = errors.info_of(reason)
    assert info.actor in (Actor.ACTOR_YOU, Actor.ACTOR_ADMIN, Actor.ACTOR_NOBODY)
    assert info.action.endswith(".")
    assert re.fullmatch(r"[A-Z][A-Z_]+", errors.code_of(reason))
    assert info.example or reason not in OF_FILES
    if reason in FINDINGS_ONLY:
        assert (info.grpc, info.http) == (0, 0)
    else:
        assert 1 <= info.grpc <= 16
        assert 400 <= info.http <= 599


@pytest.mark.parametrize("reason", REASONS, ids=ErrorReason.Name)
def test_a_code_survives_grpc(reason: "ErrorReason.ValueType") -> None:
    assert errors.reason_of(errors.code_of(reason)) == reason


def test_every_reason_is_raised_or_reserved() -> None:
    """A code that is never raised would mislead client developers."""
    root = Path(__file__).parents[2]
    code = "\n".join(
        path.read_text()
        for folder in ("services", "gateway")
        for path in (root / folder).rglob("*.py")
    )
    unused = {
        ErrorReason.Name(reason) for reason in REASONS if ErrorReason.Name(reason) not in code
    }
    assert unused == {f"ERROR_REASON_{name}" for name in RESERVED}


RESERVED = {
    # Reserved by the contract for future features: authentication, external workers.
    "STALE_ATTEMPT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
}


def test_wire_names_of_actors() -> None:
    assert [errors.actor_name(actor) for actor in Actor.values() if actor] == [
        "you",
        "admin",
        "nobody",
    ]
    assert SOURCE.count("(reason) = {") == len(REASONS)
