"""Checks of the gateway and, through it, of the four services."""

import httpx

from deploy.doctor.findings import Finding, fault, ok


async def check(url: str) -> list[Finding]:
    """Check /readyz."""
    subject = "gateway"
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            answer = await http.get(f"{url}/readyz")
            services = answer.json()["services"]
    except (httpx.HTTPError, ValueError, KeyError) as failure:
        return [
            fault(
                subject,
                f"does not answer at {url}: {type(failure).__name__}",
                "Check that it is running, and that no other program uses its port.",
            )
        ]
    states = {
        "NOT_SERVING": "A store of this service does not answer; its log line readiness.changed names it.",
        "UNREACHABLE": "The process is down or starting, or its address in the gateway's environment is wrong.",
    }
    return [
        ok(name, "is serving")
        if state == "SERVING"
        else fault(name, f"is {state}", states.get(state, "See its log."))
        for name, state in services.items()
    ]
