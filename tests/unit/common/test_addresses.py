"""Addresses in all forms of headers and peers, and which of them are one client."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common import addresses


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_an_ipv4_address_in_any_form(address: IPv4Address, port: int) -> None:
    for text in (f"{address}", f" {address} ", f"{address}:{port}", f"[::ffff:{address}]:{port}"):
        assert addresses.parse(text) == address
    assert addresses.of_peer(f"ipv4:{address}:{port}") == address
    assert addresses.client(address) == str(address)


@given(st.ip_addresses(v=6), st.integers(0, 65535))
def test_an_ipv6_address_in_any_form(address: IPv6Address, port: int) -> None:
    assume(not address.ipv4_mapped)
    forms = (f"{address}", f"{address.exploded}", f"[{address}]", f"[{address}]:{port}")
    for text in (*forms, f"{address}%eth0", f"[{address}%25eth0]:{port}"):
        assert addresses.parse(text) == address
    assert addresses.of_peer(f"ipv6:%5B{address}%5D:{port}") == address
    if not address.is_loopback:
        assert address in ip_network(addresses.client(address))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(1, 2**64 - 1))
def test_a_client_has_all_addresses_of_its_network(one: int, two: int, net: int) -> None:
    first, second = IPv6Address((net << 64) | one), IPv6Address((net << 64) | two)
    assert addresses.client(first) == addresses.client(second)
    assert addresses.client(first) != addresses.client(IPv6Address(((net ^ 1) << 64) | one))


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:x", "[1.2.3.4]", "[]", "[::1", "::1]:1", "a:1"],
)
def test_invalid_addresses(text: str) -> None:
    assert addresses.parse(text) is None
    assert addresses.of_peer(f"unix:{text}") is None


async def test_an_invalid_host_name_has_no_address() -> None:
    names = addresses.HostNames(lookups=1)
    assert "127.0.0.1" in await names.resolve("127.0.0.1")
    with pytest.raises(OSError, match="host name"):
        await names.resolve("a..b")
    names.close()
