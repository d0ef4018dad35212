"""The client of a request: the address of the connection, or the one a trusted proxy names."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Message

from tests.unit.gateway.edge_fakes import FakeUploads, application

PROXY, OTHER_PROXY, STRANGER = "10.0.0.9", "10.0.0.8", "203.0.113.5"
TRUSTED = "10.0.0.0/8, 2001:db8:ffff::/48"
XFF, FORWARDED = "X-Forwarded-For", "Forwarded"

CREATE = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": "8",
    "Upload-Metadata": "filename YS5jc3Y=,datasource_name c2FsZXM=",
}


async def client_of(peer: str, *headers: tuple[str, str], trusted: str = TRUSTED) -> str:
    """The client that the upload service receives."""
    uploads = FakeUploads()
    transport = httpx.ASGITransport(
        application(None, uploads, trusted_proxies=trusted), client=(peer, 4711)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        sent = [*CREATE.items(), *headers]
        response = await http.post("/api/ingest/uploads", headers=sent)
    assert response.status_code == 201
    return uploads.requests[0].client


@pytest.mark.parametrize("trusted", ["", TRUSTED])
@pytest.mark.parametrize("name", [XFF, FORWARDED, "X-Real-IP"])
async def test_an_untrusted_peer_is_the_client(name: str, trusted: str) -> None:
    said = "for=198.51.100.7" if name == FORWARDED else "198.51.100.7"
    assert await client_of(STRANGER, (name, said), trusted=trusted) == STRANGER


async def test_without_the_setting_no_proxy_is_trusted() -> None:
    assert await client_of("127.0.0.1", (XFF, "198.51.100.7"), trusted="") == "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([(XFF, "198.51.100.7")], "198.51.100.7"),
        ([(XFF, "198.51.100.7:5123")], "198.51.100.7"),
        ([(XFF, " 198.51.100.7 ")], "198.51.100.7"),
        # The client's own entries are on the left.
        ([(XFF, "1.1.1.1, 198.51.100.7")], "198.51.100.7"),
        ([(XFF, "1.1.1.1"), (XFF, "198.51.100.7")], "198.51.100.7"),
        ([(XFF, "10.0.0.3, 198.51.100.7")], "198.51.100.7"),
        # Trusted hops are skipped, from the right.
        ([(XFF, f"1.1.1.1, 198.51.100.7, {OTHER_PROXY}")], "198.51.100.7"),
        ([(XFF, f"198.51.100.7, {OTHER_PROXY}, 10.1.1.1")], "198.51.100.7"),
        ([(XFF, f"10.0.0.3, {OTHER_PROXY}")], "10.0.0.3"),
        ([(XFF, "2001:db8:1:2:3:4:5:6")], "2001:db8:1:2::/64"),
        ([(XFF, "[2001:db8:1:2:3:4:5:6]")], "2001:db8:1:2::/64"),
        ([(XFF, "[2001:db8:1:2:3:4:5:6]:443")], "2001:db8:1:2::/64"),
        ([(XFF, "2001:db8:1:2::9, 2001:db8:ffff::1")], "2001:db8:1:2::/64"),
        ([(XFF, "::ffff:198.51.100.7")], "198.51.100.7"),
        # Not an address: the proxy that wrote it counts as the client.
        ([(XFF, "unknown")], PROXY),
        ([(XFF, "")], PROXY),
        ([(XFF, "198.51.100.7,")], PROXY),
        ([(XFF, "198.51.100.7, unknown")], PROXY),
        ([(XFF, f"unknown, {OTHER_PROXY}")], OTHER_PROXY),
        ([(XFF, "198.51.100.777")], PROXY),
        ([(XFF, "198.51.100.7:port")], PROXY),
        ([(XFF, "example.org")], PROXY),
        ([(FORWARDED, "for=198.51.100.7")], "198.51.100.7"),
        ([(FORWARDED, "For=198.51.100.7;proto=https;by=10.0.0.9")], "198.51.100.7"),
        ([(FORWARDED, 'for="198.51.100.7:5123"')], "198.51.100.7"),
        ([(FORWARDED, 'for="[2001:db8:1:2::9]:4711"')], "2001:db8:1:2::/64"),
        ([(FORWARDED, 'proto=http;for="[2001:db8:1:2::9]"')], "2001:db8:1:2::/64"),
        ([(FORWARDED, "for=1.1.1.1, for=198.51.100.7")], "198.51.100.7"),
        ([(FORWARDED, "for=1.1.1.1"), (FORWARDED, "for=198.51.100.7")], "198.51.100.7"),
        ([(FORWARDED, f"for=198.51.100.7, for={OTHER_PROXY}")], "198.51.100.7"),
        ([(FORWARDED, 'for="a,b;c\\"d", for=198.51.100.7')], "198.51.100.7"),
        ([(FORWARDED, "for=_hidden")], PROXY),
        ([(FORWARDED, 'for="_hidden:_port"')], PROXY),
        ([(FORWARDED, "for=unknown")], PROXY),
        ([(FORWARDED, f"for=unknown, for={OTHER_PROXY}")], OTHER_PROXY),
        ([(FORWARDED, "proto=https")], PROXY),
        ([(FORWARDED, "")], PROXY),
        # The client opens a quote to swallow what the proxy appends.
        ([(FORWARDED, 'for="1.1.1.1, for=198.51.100.7')], PROXY),
        ([(FORWARDED, 'for="x, for="[2001:db8:1:2::9]:4711"')], PROXY),
        ([(FORWARDED, "for=1.1.1.1=2, for=198.51.100.7;=")], PROXY),
        # A proxy writes one of the two headers and forwards the other unchanged.
        ([(XFF, "198.51.100.7"), (FORWARDED, "for=1.1.1.1")], PROXY),
        ([(XFF, "1.1.1.1"), (FORWARDED, "for=198.51.100.7")], PROXY),
        ([(XFF, "198.51.100.7"), (FORWARDED, "for=198.51.100.7;by=x")], "198.51.100.7"),
        ([], PROXY),
    ],
)
async def test_a_trusted_proxy_names_the_client(
    headers: list[tuple[str, str]], client: str
) -> None:
    assert await client_of(PROXY, *headers) == client


async def test_a_long_chain_is_read_backwards() -> None:
    chain = ", ".join([*["1.1.1.1"] * 2000, "198.51.100.7", *[OTHER_PROXY] * 2000])
    assert await client_of(PROXY, (XFF, chain)) == "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
    ],
)
async def test_all_addresses_of_an_ipv6_network_are_one_client(peer: str, client: str) -> None:
    assert await client_of(peer) == client


async def test_an_ipv6_proxy_can_be_trusted() -> None:
    headers = [(XFF, "198.51.100.7")]
    assert await client_of("2001:db8:ffff::7", *headers) == "198.51.100.7"
    assert await client_of("::ffff:10.0.0.9", *headers) == "198.51.100.7"


@pytest.mark.parametrize("filling", [" ", "a", ";", ",", '"', "\\\\", "=", "for="])
async def test_a_long_header_is_read_in_linear_time(filling: str) -> None:
    said = "for=1.1.1.1," + filling * (60_000 // len(filling)) + "b, for=198.51.100.7"
    async with asyncio.timeout(5):
        assert await client_of(PROXY, (FORWARDED, said)) in (PROXY, "198.51.100.7")


async def test_a_mutation_over_a_websocket_has_a_client_too() -> None:
    uploads = FakeUploads()
    app = application(None, uploads, trusted_proxies=PROXY)
    mutation = 'mutation { importObject(uri: "s3://b/a.csv", dataSourceName: "s") { taskId } }'
    scope = {
        "type": "websocket",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "root_path": "",
        "scheme": "ws",
        "client": (PROXY, 4711),
        "server": ("localhost", 80),
        "headers": [(b"host", b"localhost"), (b"x-forwarded-for", b"198.51.100.7")],
        "subprotocols": ["graphql-transport-ws"],
    }
    coming: asyncio.Queue[Message] = asyncio.Queue()
    going: asyncio.Queue[Message] = asyncio.Queue()
    line = asyncio.ensure_future(app(scope, coming.get, going.put))
    coming.put_nowait({"type": "websocket.connect"})
    for message in (
        {"type": "connection_init"},
        {"id": "1", "type": "subscribe", "payload": {"query": mutation}},
    ):
        coming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})
    async with asyncio.timeout(10):
        while '"next"' not in (await going.get()).get("text", ""):
            pass
    coming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await line
    assert uploads.imports[0].client == "198.51.100.7"
