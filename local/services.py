"""Sluice's five processes and their environments, each with only the variables it needs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.paths import PROJECT
from local.stack import Stack
from local.supervision.programs import Program

GATEWAY = "gateway"

PORTS: Mapping[str, str] = {
    "status": "STATUS",
    "upload": "UPLOAD",
    "validation": "VALIDATION",
    "druid_gateway": "DRUID_GATEWAY",
    GATEWAY: "GATEWAY",
}
"""Program name -> name of its port (see `local.ports`)."""


@dataclass(frozen=True)
class Services:
    """The five processes of `stack`."""

    stack: Stack
    spool: Path

    def programs(self) -> list[Program]:
        """Return the programs. They can start in any order."""
        return [
            Program(
                name=name,
                group="services",
                command=(sys.executable, "-m", name if name == GATEWAY else f"services.{name}"),
                directory=PROJECT,
                ports=(port,),
                environment=self.environment(name),
                stop_seconds=5,
            )
            for name, port in PORTS.items()
        ]

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of the program `name`."""
        stack = self.stack
        bind = {"BIND_ADDR": stack.addresses[name]}
        return {**_python(), **_addresses(stack), **bind, **self._own(name)}

    def _own(self, name: str) -> dict[str, str]:
        match name:
            case "status":
                return {"DATABASE_URL": self.stack.database_url}
            case "upload":
                return _object_store(self.stack)
            case "validation":
                return {**_object_store(self.stack), "SPOOL_DIR": str(self.spool)}
            case "druid_gateway":
                # It presigns the URLs of the parts for Druid.
                return {**_object_store(self.stack), **_druid(self.stack)}
            case _:
                return {}


def everything(stack: Stack, spool: Path) -> dict[str, str]:
    """Return the variables that connect any service, tool or test to `stack`."""
    return {
        **_addresses(stack),
        **_object_store(stack),
        **_druid(stack),
        "DATABASE_URL": stack.database_url,
        "SPOOL_DIR": str(spool),
    }


def _python() -> dict[str, str]:
    return {
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos'}",
        "PYTHONUNBUFFERED": "1",
    }


def _addresses(stack: Stack) -> dict[str, str]:
    return {
        "UPLOAD_ADDR": stack.addresses["upload"],
        "VALIDATION_ADDR": stack.addresses["validation"],
        "DRUID_GATEWAY_ADDR": stack.addresses["druid_gateway"],
        "STATUS_ADDR": stack.addresses["status"],
        "AUTH_MODE": "open",
    }


def _object_store(stack: Stack) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": stack.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": stack.s3_secret_key,
        "AWS_DEFAULT_REGION": stack.s3_region,
        "AWS_ENDPOINT_URL_S3": stack.s3_endpoint,
        "S3_BUCKET_NAME": stack.s3_bucket,
    }


def _druid(stack: Stack) -> dict[str, str]:
    return {"DRUID_URL": stack.druid_url, "DRUID_INPUT": "http"}
