"""The client of an upload: only trusted gateways may name it."""

import asyncio
import socket
from collections.abc import Iterable

import pytest

from services.upload.receiving import callers as module
from services.upload.receiving.callers import Callers, Trusted
from services.upload.settings import Settings

GATEWAY, OTHER = "172.18.0.7", "172.18.0.1"


class Names:
    """A DNS with changeable answers; it counts its lookups."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked = 0
        self.away = False

    async def __call__(self, name: str) -> Iterable[str]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away or name not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self.answers[name].split()


def callers(trusted: str, names: Names | None = None) -> Callers:
    return Callers(Trusted.of(trusted.split(",")), names or Names())


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:203.0.113.5:4711", "203.0.113.5"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711", "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:203.0.113.5%5D:4711", "203.0.113.5"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::/64"),
        ("unix:", "unix"),
        ("unix:/run/upload.sock", "unix"),
    ],
)
@pytest.mark.parametrize("named", ["", "somebody else", "127.0.0.1"])
async def test_a_caller_that_is_not_trusted_is_the_client(
    peer: str, client: str, named: str
) -> None:
    assert await callers("127.0.0.0/8,::1").client(named, peer) == client


@pytest.mark.parametrize(
    "peer", ["ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711", "ipv6:%5B::ffff:127.0.0.1%5D:4711"]
)
async def test_a_trusted_caller_names_its_clients(peer: str) -> None:
    trusting = callers("127.0.0.0/8,::1")
    assert await trusting.client("198.51.100.7", peer) == "198.51.100.7"
    # Tests of the page, and users of grpcurl.
    assert await trusting.client("", peer) in ("127.0.0.1", "::1")


def test_this_machine_is_trusted_by_default() -> None:
    trusted = Settings(
        status_addr="127.0.0.1:1",
        bind_addr="127.0.0.1:0",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        s3_bucket_name="bucket",
    ).trusted_gateways
    assert trusted == Trusted.of(["127.0.0.0/8", "::1/128"])


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "10.0.0.1/8", "a b", "http://gateway", "-x", "*"])
def test_an_entry_that_is_neither_a_network_nor_a_name_is_rejected(wrong: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Trusted.of([wrong])


async def test_a_name_trusts_all_its_addresses() -> None:
    names = Names(gateway=f"{GATEWAY} 2001:db8::7")
    trusting = callers("gateway", names)
    for peer in (f"ipv4:{GATEWAY}:1", "ipv6:%5B2001:db8::7%5D:1"):
        assert await trusting.client("c", peer) == "c"
    assert await trusting.client("c", f"ipv4:{OTHER}:1") == OTHER
    assert await trusting.client("c", "ipv4:127.0.0.1:1") == "127.0.0.1"


async def test_an_unknown_caller_triggers_a_lookup_at_most_once_per_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    names = Names(gateway=GATEWAY)
    trusting = callers("gateway", names)
    for _ in range(10):
        assert await trusting.client("c", f"ipv4:{OTHER}:1") == OTHER
    assert names.asked == 1
    names.answers["gateway"] = f"{GATEWAY} {OTHER}"
    now[0] += module.RETRY_S
    assert await trusting.client("c", f"ipv4:{OTHER}:1") == "c"
    assert names.asked == 2
    # Known addresses need no lookup while they are fresh.
    assert await trusting.client("c", f"ipv4:{GATEWAY}:1") == "c"
    assert names.asked == 2


async def test_an_address_that_a_name_has_lost_is_no_longer_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    names = Names(gateway=GATEWAY)
    trusting = callers("gateway", names)
    assert await trusting.client("c", f"ipv4:{GATEWAY}:1") == "c"
    names.answers["gateway"] = OTHER
    now[0] += module.FRESH_S
    assert await trusting.client("c", f"ipv4:{GATEWAY}:1") == GATEWAY


async def test_the_last_addresses_stay_valid_while_dns_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    names = Names(gateway=GATEWAY)
    trusting = callers("gateway", names)
    assert await trusting.client("c", f"ipv4:{GATEWAY}:1") == "c"
    names.away = True
    now[0] += 10 * module.FRESH_S
    assert await trusting.client("c", f"ipv4:{GATEWAY}:1") == "c"
    assert await trusting.client("c", f"ipv4:{OTHER}:1") == OTHER


async def test_a_resolver_that_hangs_delays_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESOLVE_S", 0.05)

    async def hangs(name: str) -> Iterable[str]:
        await asyncio.Event().wait()
        return []

    trusting = Callers(Trusted.of(["gateway"]), hangs)
    async with asyncio.timeout(5):
        asked = [trusting.client("c", f"ipv4:{OTHER}:{n}") for n in range(20)]
        assert set(await asyncio.gather(*asked)) == {OTHER}
