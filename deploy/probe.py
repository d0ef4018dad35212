"""Health check of the process in this container, for images without curl and wget.

`python -m deploy.probe` calls the gRPC health service at BIND_ADDR, `python -m deploy.probe http`
the gateway's /readyz. Exits with 0 if the process is ready; else with 1 and a line that says why.
"""

import os
import sys

TIMEOUT_S = 4.0

_EMPTY = b""
"""HealthCheckRequest: the server as a whole."""

_SERVING = b"\x08\x01"
"""HealthCheckResponse with status SERVING."""


def port_of(bind_addr: str) -> int:
    """Return the port of host:port."""
    return int(bind_addr.rpartition(":")[2])


def ask_grpc(port: int) -> str:
    """Return what is wrong with the gRPC server on this port; empty if it is SERVING."""
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        # As bytes: importing protobuf would double the cost of this short process.
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer = check(_EMPTY, timeout=TIMEOUT_S)
        except grpc.RpcError as failure:
            return f"no answer on port {port}: {failure.code().name}"
    if answer == _SERVING:
        return ""
    return "NOT_SERVING: a store of this service does not answer; its log line readiness.changed names it"


def ask_http(port: int) -> str:
    """Return what is wrong with the gateway or a service; empty if all are ready."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace")
    except OSError as failure:
        return f"no answer on port {port}: {failure}"
    finally:
        connection.close()
    return "" if answer.status == http.HTTPStatus.OK else f"not ready: {body}"


def main(arguments: list[str]) -> int:
    """Run the check; return the exit status."""
    bind_addr = os.environ.get("BIND_ADDR", "")
    if not bind_addr:
        print("BIND_ADDR is not set: no address to ask", file=sys.stderr)
        return 1
    problem = (ask_http if arguments == ["http"] else ask_grpc)(port_of(bind_addr))
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
