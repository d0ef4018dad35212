"""Ports: every instance has its own, a variable changes one, a taken one is explained."""

from __future__ import annotations

import socket

import pytest

from local import ports
from local.errors import LocalStackError


def test_the_instances_share_no_port() -> None:
    numbers = [
        number
        for instance in ports.INSTANCE_OFFSETS
        for number in ports.choose(instance, {}).numbers.values()
    ]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) <= 65_535


def test_the_services_of_test_instances_avoid_the_ports_of_outgoing_connections() -> None:
    for instance in ("test", "bench"):
        assert max(ports.choose(instance, {}).numbers.values()) < 32_768


def test_a_variable_changes_the_port_of_its_own_instance_only() -> None:
    environment = {"SLUICE_PORT_GATEWAY": "9001", "SLUICE_TEST_PORT_S3": "9002"}
    assert ports.choose("default", environment)["GATEWAY"] == 9001
    assert ports.choose("test", environment)["GATEWAY"] == 18_000
    assert ports.choose("test", environment)["S3"] == 9002


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "8_000"])
def test_what_is_no_port_is_refused_with_the_name_of_the_variable(text: str) -> None:
    with pytest.raises(LocalStackError, match="SLUICE_PORT_GATEWAY"):
        ports.choose("default", {"SLUICE_PORT_GATEWAY": text})


def test_the_same_port_twice_is_refused_with_both_variables() -> None:
    with pytest.raises(LocalStackError, match=r"SLUICE_PORT_GATEWAY.*SLUICE_PORT_S3|S3.*GATEWAY"):
        ports.choose("default", {"SLUICE_PORT_GATEWAY": "8333"})


def test_an_unknown_instance_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LocalStackError, match="default, test, bench"):
        ports.choose("other", {})


def test_a_taken_port_is_named_with_what_wants_it_and_the_variable() -> None:
    with socket.create_server((ports.HOST, 0)) as other:
        number = other.getsockname()[1]
        chosen = ports.choose("default", {"SLUICE_PORT_GATEWAY": str(number)})
        with pytest.raises(LocalStackError) as caught:
            ports.require_free(chosen, ["GATEWAY"])
    message = str(caught.value)
    assert str(number) in message
    assert "SLUICE_PORT_GATEWAY" in message
    ports.require_free(chosen, ["GATEWAY"])
