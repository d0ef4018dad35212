"""Cost of uploads compared with the object store itself: through each interface, one and eight
concurrent files, on slow and breaking connections, and next to slow clients.

Each task is cancelled once its file is stored, which excludes Druid from the measurement.
"""

import asyncio
import hashlib
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from bench.clients import seed
from bench.clients.interfaces import Interfaces
from bench.files import data
from bench.support import harness
from bench.support.harness import MIB
from bench.support.proxy import Proxy
from bench.support.stack import FILES, running
from local.instance import Instance
from sluice_client import SluiceClient

SMALL_MIB = 5
PROCESSES = ("gateway", "upload")
PACE_BYTES_PER_S = 40e6
TEE_BYTES_PER_S = 20e6
CUTS = 10
SLOW_CLIENTS = 200
CONCURRENT = 8
CONCURRENT_MIB = 40
PARTS = ("interfaces", "memory", "seed", "paced", "tee", "resume", "slow")

Figures = dict[str, Any]


class Upload:
    """The parts of the benchmark, on one stack."""

    def __init__(self, instance: Instance, size_mib: int, pairs: int) -> None:
        self._instance = instance
        self._pairs = pairs
        self._interfaces = Interfaces(instance.stack)
        self._path = data.sales_by_size(FILES / f"sales-{size_mib}-mib.csv", size_mib)
        self._http = httpx.Client(base_url=instance.stack.gateway_url, timeout=60)

    def interfaces(self) -> Figures:
        """Throughput of each interface compared with a direct multipart upload, interleaved; CPU of
        gateway and upload.
        """
        size = self._path.stat().st_size
        walls: dict[str, list[float]] = {name: [] for name in ("direct", *self._interfaces.all)}
        cpus: dict[str, list[float]] = {name: [] for name in self._interfaces.all}
        self._warm()
        for _ in range(self._pairs):
            for name in walls:
                if name == "direct":
                    walls[name].append(self._direct())
                    continue
                with harness.measured(self._pids()) as sample:
                    task_id = self._interfaces.all[name](self._path)
                self._forget(task_id)
                walls[name].append(sample.wall_s)
                cpus[name].append(sample.cpu_s)
        rows = [
            (
                name,
                median(seconds),
                size / median(seconds) / 1e6,
                median(cpus[name]) / size * 1e9 if name in cpus else "",
            )
            for name, seconds in walls.items()
        ]
        harness.table(
            f"{size / MIB:.0f} MiB through each interface",
            ["interface", "wall s", "MB/s", "CPU s per GB"],
            rows,
        )
        ratios = {name: round(median(walls["direct"]) / median(walls[name]), 3) for name in cpus}
        per_gb = {name: round(median(seconds) / size * 1e9, 2) for name, seconds in cpus.items()}
        return {
            "ratio_direct": ratios,
            "ratio_direct_worst": min(ratios.values()),
            "cpu_s_per_gb": max(per_gb.values()),
            "cpu_s_per_gb_by_door": per_gb,
            "direct_mb_per_s": round(size / median(walls["direct"]) / 1e6, 1),
        }

    def memory(self) -> Figures:
        """Peak memory of a big upload and of eight concurrent ones over REST after a restart,
        compared with a small upload.
        """
        small = data.sales_by_size(FILES / f"sales-{SMALL_MIB}-mib.csv", SMALL_MIB)
        middle = data.sales_by_size(FILES / f"sales-{CONCURRENT_MIB}-mib.csv", CONCURRENT_MIB)
        for name in PROCESSES:
            self._instance.restart(name)
        self._instance.wait_healthy(*PROCESSES)
        peaks = {}
        for name, path, count in (
            ("small", small, 1),
            ("big", self._path, 1),
            ("at once", middle, CONCURRENT),
        ):
            with harness.measured(self._pids()) as sample, ThreadPoolExecutor(count) as pool:
                tasks = list(pool.map(self._interfaces.rest, [path] * count))
            for task_id in tasks:
                self._forget(task_id)
            peaks[name] = sample.peak_rss_mib
        harness.table(
            "Peak resident memory", ["upload", *(f"{name} MiB" for name in PROCESSES)],
            [(name, *(peak[process] for process in PROCESSES)) for name, peak in peaks.items()],
        )  # fmt: skip
        return {
            f"rss_growth_{process}_{suffix}": round(
                peaks[name][process] - peaks["small"][process], 1
            )
            for process in PROCESSES
            for name, suffix in (("big", "mib"), ("at once", "mib_8_at_once"))
        }

    def seed(self) -> Figures:
        """REST compared with FastAPI's UploadFile and boto3's put_object: wall time, CPU and peak
        memory.
        """
        samples: dict[str, list[harness.Sample]] = {"Sluice": [], "UploadFile, put_object": []}
        ours, theirs = samples.values()
        with seed.serving(self._instance.stack) as (address, pid):
            for _ in range(self._pairs):
                with harness.measured(self._pids()) as sample:
                    task_id = self._interfaces.rest(self._path)
                self._forget(task_id)
                ours.append(sample)
                with harness.measured({"seed": pid}) as sample:
                    key = Interfaces(self._instance.stack, address).plain(self._path)
                self._interfaces.delete(key)
                theirs.append(sample)
        rows = [
            (
                name,
                median(run.wall_s for run in runs),
                median(run.cpu_s for run in runs),
                max(sum(run.peak_rss_mib.values()) for run in runs),
            )
            for name, runs in samples.items()
        ]
        harness.table(
            f"{self._path.stat().st_size / MIB:.0f} MiB",
            ["server", "wall s", "CPU s", "peak resident MiB"],
            rows,
        )
        return {
            "seed_wall_ratio": round(rows[1][1] / rows[0][1], 3),
            "seed_peak_mib": round(rows[1][3], 1),
            "sluice_peak_mib": round(rows[0][3], 1),
        }

    def paced(self) -> Figures:
        """Each interface on a connection of 40 MB/s: the achieved share of its rate."""
        ideal = self._path.stat().st_size / PACE_BYTES_PER_S
        ratios = {}
        for name in self._interfaces.all:
            with Proxy(self._target(name), bytes_per_s=PACE_BYTES_PER_S).running() as proxy:
                interfaces = Interfaces(
                    self._instance.stack, ("127.0.0.1", proxy.port), f"127.0.0.1:{proxy.port}"
                )
                began = time.perf_counter()
                task_id = interfaces.all[name](self._path)
                ratios[name] = round(ideal / (time.perf_counter() - began), 3)
            self._forget(task_id)
        harness.table(
            "Connection of 40 MB/s", ["interface", "share of its rate"], list(ratios.items())
        )
        return {"ratio_paced": ratios, "ratio_paced_worst": min(ratios.values())}

    def tee(self) -> Figures:
        """First byte to verdict on a connection of 20 MB/s: validated during the upload, and after
        it (an interrupted upload is not inspected).
        """
        seconds: dict[bool, list[float]] = {True: [], False: []}
        with Proxy(self._target("tus"), bytes_per_s=TEE_BYTES_PER_S).running() as proxy:
            interfaces = Interfaces(self._instance.stack, ("127.0.0.1", proxy.port))
            for _ in range(self._pairs):
                for teed, walls in seconds.items():
                    began = time.perf_counter()
                    task_id = interfaces.tus_to_plan(self._path, broken=not teed)
                    self._planned(task_id)
                    walls.append(time.perf_counter() - began)
                    if self._was_fetched(task_id) is teed:
                        raise RuntimeError("the file was validated in the wrong way")
                    self._forget(task_id)
        rows = [
            ("during the upload", median(seconds[True])),
            ("after the upload", median(seconds[False])),
        ]
        harness.table("First byte to verdict", ["validated", "wall s"], rows)
        return {"ratio_tee": round(rows[0][1] / rows[1][1], 3)}

    def _planned(self, task_id: str) -> None:
        deadline = time.monotonic() + 300
        while (
            status := self._http.get(f"/api/ingest/tasks/{task_id}")
            .raise_for_status()
            .json()["status"]
        ) != "PLANNED":
            if status not in ("PENDING", "UPLOADED", "VALIDATING") or time.monotonic() > deadline:
                raise RuntimeError(f"the task is {status}")
            time.sleep(0.05)

    def _was_fetched(self, task_id: str) -> bool:
        report = self._http.get(f"/api/ingest/tasks/{task_id}/report").raise_for_status().json()
        return any(timing["step"] == "fetch" for timing in report["timings"])

    def resume(self, seed: int = 1) -> Figures:
        """Uploads whose connection is cut at random bytes, or whose server is killed."""
        size = self._path.stat().st_size
        chance = random.Random(seed)
        cuts = sorted(chance.randrange(size) for _ in range(CUTS))
        with Proxy(self._target("grpc"), cuts=cuts).running() as proxy:
            wall_s, _, task_id = asyncio.run(self._upload_with_kills(f"127.0.0.1:{proxy.port}", []))
            cut = proxy.cut
        # Includes the framing, about a thousandth of the file.
        resent = proxy.sent - size
        intact = self._is_intact(task_id)
        kills = [size // 3, 2 * size // 3]
        killed_s, resent_by_kills, task_id = asyncio.run(
            self._upload_with_kills(self._instance.stack.addresses["upload"], list(kills))
        )
        intact = self._is_intact(task_id) and intact
        began = time.perf_counter()
        task_id, resent_by_tus = self._interfaces.tus_with_breaks(
            self._path, kills, lambda: self._kill("gateway")
        )
        tus_s = time.perf_counter() - began
        intact = self._is_intact(task_id) and intact
        rows = [
            (f"cut {cut} times (seed {seed}), gRPC", wall_s, resent / MIB, ""),
            (
                "upload killed twice, gRPC",
                killed_s,
                sum(resent_by_kills) / MIB,
                max(resent_by_kills, default=0) / MIB,
            ),
            (
                "gateway killed twice, tus",
                tus_s,
                sum(resent_by_tus) / MIB,
                max(resent_by_tus, default=0) / MIB,
            ),
        ]
        harness.table(
            "Interrupted uploads", ["what", "wall s", "resent MiB", "max per break MiB"], rows
        )
        return {
            "seed": seed,
            "cuts": cut,
            "resent_bytes": resent,
            "resent_bytes_per_cut": round(resent / cut),
            "resume_right": intact,
            "resent_bytes_by_kills": sum(resent_by_kills) + sum(resent_by_tus),
        }

    def slow(self) -> Figures:
        """A REST upload alone, and next to 200 clients that send one byte per second from other
        addresses.
        """
        alone = self._rest_seconds()
        with self._slow_clients() as cut:
            time.sleep(3)
            beside = self._rest_seconds()
            deadline = time.monotonic() + 90
            while cut() < SLOW_CLIENTS and time.monotonic() < deadline:
                time.sleep(0.5)
            slow_cut = cut()
        harness.table(
            "Slow clients",
            ["upload", "wall s"],
            [("alone", alone), (f"next to {SLOW_CLIENTS} slow clients", beside)],
        )
        return {
            "ratio_slow": round(beside / alone, 3),
            "slow_clients": SLOW_CLIENTS,
            "slow_clients_cut": slow_cut,
        }

    def _rest_seconds(self) -> float:
        began = time.perf_counter()
        task_id = self._interfaces.rest(self._path)
        seconds = time.perf_counter() - began
        self._forget(task_id)
        return seconds

    @contextmanager
    def _slow_clients(self) -> Iterator[Callable[[], int]]:
        url = urlsplit(self._instance.stack.gateway_url)
        disposition = 'Content-Disposition: form-data; name="file"; filename="a.csv"'
        lines = [
            "POST /api/ingest/upload?datasource_name=slow HTTP/1.1",
            f"Host: {url.netloc}",
            "Content-Length: 1000000",
            "Content-Type: multipart/form-data; boundary=b",
            "",
            f"--b\r\n{disposition}\r\n\r\n",
        ]
        head = "\r\n".join(lines)
        clients = []
        for number in range(SLOW_CLIENTS):
            source = (f"127.0.{1 + number // 8}.{1 + number % 8}", 0)
            client = socket.create_connection(
                (url.hostname or "", url.port or 80), timeout=10, source_address=source
            )
            client.sendall(head.encode())
            client.setblocking(False)
            clients.append(client)
        gone: set[socket.socket] = set()
        stopping = False

        def trickle() -> None:
            while not stopping:
                for client in clients:
                    if client in gone:
                        continue
                    try:
                        client.send(b"x")
                        if client.recv(65536):
                            gone.add(client)
                    except BlockingIOError:
                        continue
                    except OSError:
                        gone.add(client)
                time.sleep(1)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(trickle)
            try:
                yield lambda: len(gone)
            finally:
                stopping = True
        for client in clients:
            client.close()

    async def _upload_with_kills(
        self, address: str, kill_at: list[int]
    ) -> tuple[float, list[int], str]:
        """Upload over gRPC; kill the upload service after each number of sent bytes in `kill_at`.

        Returns the seconds, the number of resent bytes of each break, and the task id.
        """
        sent, resent = 0, []

        def progress(offset: int) -> None:
            nonlocal sent
            if offset < sent:
                resent.append(sent - offset)
            sent = offset
            if kill_at and offset > kill_at[0]:
                kill_at.pop(0)
                self._kill("upload")

        addresses = self._instance.stack.addresses
        async with SluiceClient(
            address, addresses["status"], addresses["validation"], addresses["druid_gateway"]
        ) as client:
            began = time.perf_counter()
            task_id = await client.upload(
                self._path, f"bench_upload_{uuid4().hex[:8]}", progress=progress
            )
            return time.perf_counter() - began, resent, task_id

    def _is_intact(self, task_id: str) -> bool:
        """Return whether the stored object equals the file; cancel the task."""
        uri = self._http.get(f"/api/ingest/tasks/{task_id}").raise_for_status().json()["file_uri"]
        with self._path.open("rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        intact = asyncio.run(self._interfaces.stored_sha256(uri)) == expected
        self._forget(task_id)
        return intact

    def _target(self, interface: str) -> tuple[str, int]:
        address = (
            self._instance.stack.addresses["upload"]
            if interface == "grpc"
            else urlsplit(self._instance.stack.gateway_url).netloc
        )
        host, _, port = address.rpartition(":")
        return host, int(port)

    def _kill(self, program: str) -> None:
        """Kill a program; the process manager restarts it."""
        self._instance.kill(program, signal.SIGKILL)

    def _warm(self) -> None:
        small = data.sales_by_size(FILES / f"sales-{SMALL_MIB}-mib.csv", SMALL_MIB)
        for send in self._interfaces.all.values():
            self._forget(send(small))
        self._direct()

    def _direct(self) -> float:
        key = f"bench/{uuid4().hex}"
        began = time.perf_counter()
        self._interfaces.direct(self._path, key)
        seconds = time.perf_counter() - began
        self._interfaces.delete(key)
        return seconds

    def _pids(self) -> dict[str, int]:
        return {name: self._instance.pid(name) for name in PROCESSES}

    def _forget(self, task_id: str) -> None:
        """Cancel the task and delete its stored files."""
        self._http.post(f"/api/ingest/tasks/{task_id}/cancel").raise_for_status()
        self._http.delete(f"/api/ingest/tasks/{task_id}").raise_for_status()


def main(pairs: int, size_mib: int, instance: str, only: list[str]) -> None:
    """Print a table for each part, and the JSON line with the figures."""
    figures: Figures = {}
    with running(instance) as stack:
        upload = Upload(stack, size_mib, pairs)
        parts: dict[str, Callable[[], Figures]] = {name: getattr(upload, name) for name in PARTS}
        for name in only or PARTS:
            figures |= parts[name]()
    harness.conclude(bench="upload", pairs=pairs, size_mib=size_mib, **figures)
