"""A storm of alerts against a real watch in a process of its own: ``python benchmarks/alert_storm.py [--json FILE]``.

Every distinct alert is about another service and comes five times (both halves of a pair, reminders), in an order drawn
from a seed. Measured: alerts accepted (journaled, then 2xx) per second through Alertmanager's webhook and one by one through
PagerDuty's events; pages sent; from an alert's journaling to its page at the channel, idle and in the storm; the console's
pages and one status change with 100,000 alerts and 1,000 incidents in state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from midwatch.model.alerts import Alert, Judged
from midwatch.model.events import (
    AlertsJudged,
    AlertsReceived,
    Event,
    FindingOpened,
    IncidentMitigated,
    IncidentOpened,
    IncidentResolved,
    PostmortemWritten,
)
from midwatch.model.findings import Finding
from midwatch.shell.journal.sqlite import SqliteJournal, open_readonly

AM_KEY, PD_KEY = "a" * 32, "b" * 32
PER_BODY = 20
PEOPLE = """
people: {ana: {zone: Europe/Berlin, contacts: [hook]}, ben: {zone: Asia/Tokyo, contacts: [hook]}}
teams: {shop: {members: [ana, ben], services: [svc-1], escalation: shop}}
schedules:
  first:
    zone: Europe/Berlin
    layers: [{name: week, people: [ana, ben], starts_on: 2026-01-05, every: 7d, at: ["09:00"]}]
escalations: {shop: {levels: [{wake: [schedule: first], wait: 5m}, {wake: [team: shop], wait: 10m}]}}
catch_all: shop
"""
PROMISE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: entry-availability}
spec:
  service: svc-1
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: midwatch, spec: {signal: good_requests}}}
        total: {metricSource: {type: midwatch, spec: {signal: requests}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.999}]
"""


class Receiver:
    """The channel: a webhook that remembers when each page came."""

    def __init__(self) -> None:
        self.pages: list[tuple[float, dict[str, Any]]] = []
        self.on_page: Callable[[dict[str, Any]], None] = lambda page: None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                page = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                self.pages.append((time.time(), page))
                self.on_page(page)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Client:
    """One kept connection; ``send`` gives status and body. Bytes in, bytes out: the client must not be what is measured."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def send(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        return int(head[9:12]), await self._reader.readexactly(int(length[1]) if length else 0)


def request(method: str, path: str, body: Any = None, key: str = "") -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    bearer = f"authorization: Bearer {key}\r\n" if key else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{bearer}content-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


class Watch:
    """``midwatch up`` on a folder, and the port of its console."""

    def __init__(self, folder: Path, hook: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        integrations = {
            "prom": {"kind": "alertmanager", "key": "env:BENCH_AM", "per_minute": 1_000_000},
            "pd": {"kind": "pagerduty", "key": "env:BENCH_PD", "per_minute": 1_000_000},
        }
        settings = {
            "integrations": integrations,
            "channels": {"hook": {"type": "webhook", "url": f"http://127.0.0.1:{hook}/"}},
            "otlp_port": 0, "console_port": 0, "store": "none",
        }  # fmt: skip
        (folder / "settings.yaml").write_text(json.dumps(settings))

    async def __aenter__(self) -> Watch:
        environment = {**os.environ, "BENCH_AM": AM_KEY, "BENCH_PD": PD_KEY}
        command = [sys.executable, "-m", "midwatch", "up", "--folder", str(self.folder), "--json"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(1200):
            await asyncio.sleep(0.1)
            if (self.folder / "running.json").exists():
                told = json.loads((self.folder / "running.json").read_text())
                self.port = int(told["api"].rpartition(":")[2])
                self.token = (self.folder / "token").read_text().strip()
                return self
            if self.process.poll() is not None:
                raise SystemExit(f"midwatch up ended with {self.process.returncode}")
        raise SystemExit("midwatch up did not come up")

    async def __aexit__(self, *_: object) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 60)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) / 1024 if found else math.nan

    async def command(self, client: Client, verb: str, target: str) -> float:
        """Seconds until it was journaled."""
        body = {"verb": verb, "by": "bench", "target": target, "via": "api"}
        began = time.perf_counter()
        status, said = await client.send(request("POST", "/api/v1/commands", body, self.token))
        if status != 202:
            raise SystemExit(f"{verb} {target}: {status} {said[:200]!r}")
        return time.perf_counter() - began


def am_alert(number: int, times: int) -> dict[str, Any]:
    labels = {"alertname": "Down", "service": f"svc-{number}", "severity": "error", "zone": f"z{number % 9}"}
    notes = {"summary": f"svc-{number} does not answer", "runbook_url": "https://runbooks.example/Down"}
    return {
        "status": "firing", "labels": labels, "annotations": notes, "startsAt": "2026-12-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.example/graph", "fingerprint": f"{number:016x}",
    }  # fmt: skip


def am_bodies(order: Sequence[int]) -> list[bytes]:
    bodies = []
    for at in range(0, len(order), PER_BODY):
        alerts = [am_alert(number, 0) for number in order[at : at + PER_BODY]]
        body = {"version": "4", "groupKey": "", "status": "firing", "receiver": "midwatch", "alerts": alerts}
        bodies.append(request("POST", "/in/alertmanager", body, AM_KEY))
    return bodies


def pd_body(number: int, severity: str = "error", name: str = "svc") -> bytes:
    payload = {
        "summary": f"{name}-{number} does not answer", "source": f"{name}-{number}", "severity": severity, "class": "Down",
        "custom_details": {"service": f"{name}-{number}"},
    }  # fmt: skip
    event = {"routing_key": PD_KEY, "event_action": "trigger", "dedup_key": f"{name}-{number}", "payload": payload}
    return request("POST", "/v2/enqueue", event)


async def pour(port: int, bodies: Sequence[bytes], connections: int) -> tuple[float, list[float], int]:
    """Send everything over so many connections at once: seconds, each answer's seconds, refusals."""
    waiting = list(reversed(bodies))
    took: list[float] = []
    refused = 0

    async def one() -> None:
        nonlocal refused
        client = await Client(port).open()
        while waiting:
            body = waiting.pop()
            began = time.perf_counter()
            status, _ = await client.send(body)
            took.append(time.perf_counter() - began)
            refused += status not in (200, 202)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.perf_counter() - began, took, refused


def at(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def ms(values: Sequence[float]) -> dict[str, Any]:
    found = {name: round(1000 * at(values, share), 1) for name, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0))}
    return {"count": len(values), **{f"{name}_ms": value for name, value in found.items()}}


def handed_over(folder: Path, pages: Sequence[tuple[float, dict[str, Any]]]) -> list[float]:
    """For each first page of an incident: seconds from the journaling of the alert that opened it to the page's arrival."""
    first: dict[str, float] = {}
    opened: dict[str, str] = {}
    found: dict[str, float] = {}
    journal = open_readonly(folder / "journal.sqlite")
    for recorded in journal.read():
        event = recorded.event
        if isinstance(event, AlertsReceived):
            for alert in event.alerts:
                found.setdefault(alert.key, recorded.at)
        elif isinstance(event, AlertsJudged):
            for one in event.judged:
                if one.incident and one.incident in opened and one.incident not in first:
                    first[one.incident] = found[one.key]
        elif isinstance(event, IncidentOpened):
            opened[event.incident] = event.findings[0]
    journal.close()
    seen: set[str] = set()
    waits = []
    for when, page in pages:
        incident = page["incident"]
        if incident in first and incident not in seen:
            seen.add(incident)
            waits.append(when - first[incident])
    return waits


async def settled(receiver: Receiver, quiet_seconds: float = 3.0) -> None:
    count, since = -1, time.time()
    while time.time() - since < quiet_seconds:
        if len(receiver.pages) != count:
            count, since = len(receiver.pages), time.time()
        await asyncio.sleep(0.1)


async def idle(folder: Path, samples: int) -> dict[str, Any]:
    """One alert at a time, each answered for before the next, so that each pages."""
    receiver = Receiver()
    async with Watch(folder, await receiver.start()) as watch:
        client = await Client(watch.port).open()
        waits = []
        for number in range(samples):
            await asyncio.sleep(random.uniform(0.1, 0.6))
            before, began = len(receiver.pages), time.time()
            await client.send(pd_body(number))
            while len(receiver.pages) == before:  # noqa: ASYNC110 - the receiver is another connection
                await asyncio.sleep(0.001)
            waits.append(receiver.pages[before][0] - began)
            await watch.command(client, "ack", f"INC-{number + 1}")
    return ms(waits)


async def storm(
    folder: Path, kind: str, distinct: int, times: int, connections: int, acks: bool, rng: random.Random
) -> dict[str, Any]:
    receiver = Receiver()
    order = [number for number in range(distinct) for _ in range(times)]
    rng.shuffle(order)
    bodies = am_bodies(order) if kind == "alertmanager" else [pd_body(number) for number in order]
    async with Watch(folder, await receiver.start()) as watch:
        client = await Client(watch.port).open()
        due: asyncio.Queue[str] = asyncio.Queue()
        if acks:
            receiver.on_page = lambda page: due.put_nowait(page["incident"])

        async def answer() -> None:
            while True:
                incident = await due.get()
                await asyncio.sleep(1.0)
                await watch.command(client, "ack", incident)

        person = asyncio.create_task(answer())
        before = watch.cpu_seconds()
        seconds, took, refused = await pour(watch.port, bodies, connections)
        poured = watch.cpu_seconds() - before
        await settled(receiver)
        person.cancel()
        peak = watch.peak_mb()
        page = await Client(watch.port).open()
        await page.send(request("GET", "/alerts"))  # compiles its template
        began = time.perf_counter()
        await page.send(request("GET", "/alerts"))
        shown = time.perf_counter() - began
    journal = open_readonly(folder / "journal.sqlite")
    state = journal.load_state()
    journal.close()
    placed = sum(record.place == "grouped" for record in state.alerts.values())
    return {
        "sent": len(order), "distinct": distinct, "requests": len(bodies), "connections": connections, "acknowledged": acks,
        "seconds": round(seconds, 2), "alerts_per_second": round(len(order) / seconds), "refused": refused,
        "answered": ms(took), "cpu_seconds_of_the_watch": round(poured, 2), "peak_mb": round(peak),
        "known": len(state.alerts), "heard": sum(record.count for record in state.alerts.values()), "grouped": placed,
        "incidents": len(state.incidents), "pages": len(receiver.pages), "alerts_page_ms": round(1000 * shown, 1),
        "alert_to_page": ms(handed_over(folder, receiver.pages)),
    }  # fmt: skip


def _instance(service: str, incident: int, number: int, now: float) -> Alert:
    labels = {"service": service, "instance": f"i-{number}", "severity": "error"}
    key, said = f"prom:{incident:04d}-{number:04d}", f"instance {number} is down"
    return Alert(key, "prom", "firing", now, now, 4, "Down", said, f"service:{service}", labels=labels)


def fill(file: Path, alerts: int, incidents: int, severity: int = 4) -> None:
    """A journal with so many open alerts in so many open incidents, as if it had all come in. Of the lowest severity nobody
    is paged."""
    file.parent.mkdir(parents=True, exist_ok=True)
    journal = SqliteJournal(file, ballast_bytes=0)
    now = time.time() - 600
    per = alerts // incidents
    for incident in range(incidents):
        ident, service = f"INC-{incident + 1}", f"service:svc-{incident}"
        finding = f"alert|{service}|Down"
        told = tuple(_instance(f"svc-{incident}", incident, n, now) for n in range(per))
        why = f"it is about svc-{incident} as well"
        events: list[Event] = [
            AlertsReceived(told),
            FindingOpened(
                Finding(finding, "alert", service, now, 1.0, 0.0, "alerts", detail="Down", severity=severity)
            ),
            IncidentOpened(
                ident, f"Down at svc-{incident}", now, severity, "so rated by its sender", (finding,), (service,)
            ),
            AlertsJudged(tuple(Judged(a.key, "grouped", why, finding, ident) for a in told)),
        ]
        journal.append(events, now)
    ident, service = f"INC-{incidents + 1}", "service:gone"
    over: list[Event] = [
        IncidentOpened(ident, "Down at gone", now, 4, "so rated by its sender", (), (service,)),
        IncidentMitigated(ident, "itself"),
        IncidentResolved(ident, "over"),
        PostmortemWritten(ident, "# Down at gone\n\nNothing was lost.\n"),
    ]
    journal.append(over, now)
    journal.close()


def acknowledged(books: sqlite3.Connection, after: int) -> bool:
    """Whether the loop has decided an acknowledgement since that entry: then it is in force for everybody."""
    query = "SELECT 1 FROM chain WHERE seq > ? AND kind = 'incident_acknowledged'"
    return books.execute(query, (after,)).fetchone() is not None


def write_files(folder: Path) -> None:
    for place, said in (("people/team.yaml", PEOPLE), ("policy/promise.yaml", PROMISE)):
        (folder / place).parent.mkdir()
        (folder / place).write_text(said)


async def unanswered(folder: Path, incidents: int, samples: int) -> dict[str, Any]:
    """Status changes while a page about each of so many incidents is on its way to whoever is on call."""
    receiver = Receiver()
    watch = Watch(folder, await receiver.start())
    write_files(folder)
    fill(folder / "journal.sqlite", 10 * incidents, incidents, severity=1)
    async with watch:
        journaled, paged = [], []
        while len(receiver.pages) < incidents // 20:  # noqa: ASYNC110 - the receiver is another connection
            await asyncio.sleep(0.01)
        for number in range(1, samples + 1):
            client = await Client(watch.port).open()
            paged.append(len(receiver.pages))
            journaled.append(await watch.command(client, "ack", f"INC-{number * 7}"))
            await asyncio.sleep(0.05)
        await settled(receiver)
        _, body = await client.send(request("GET", "/api/v1/status", None, watch.token))
        health = json.loads(body)["health"]
    first, last = receiver.pages[0][0], receiver.pages[-1][0]
    return {
        "incidents": incidents, "pages": len(receiver.pages), "seconds_of_pages": round(last - first, 2),
        "pages_before_the_last_change": paged[-1], "status_change_journaled": ms(journaled),
        "turn_worst_ms": health["tick_ms_worst"],
    }  # fmt: skip


async def large(folder: Path, alerts: int, incidents: int, samples: int) -> dict[str, Any]:
    receiver = Receiver()
    watch = Watch(folder, await receiver.start())
    write_files(folder)
    fill(folder / "journal.sqlite", alerts, incidents)
    began = time.perf_counter()
    async with watch:
        started = time.perf_counter() - began
        await asyncio.sleep(5.0)  # the first turn looks at all of it
        client = await Client(watch.port).open()
        paths = ["/", "/incidents", f"/incidents/INC-{incidents // 2}", "/alerts", "/alerts?q=svc-7", "/alerts?page=3"]
        paths += ["/oncall", "/actions", "/postmortems", f"/postmortems/INC-{incidents + 1}", "/health", "/budgets"]
        paths += ["/budgets/entry-availability"]
        shown: dict[str, Any] = {}
        for path in paths:
            took = []
            for _ in range(samples + 1):
                start = time.perf_counter()
                status, body = await client.send(request("GET", path))
                took.append(time.perf_counter() - start)
                if status != 200:
                    raise SystemExit(f"GET {path}: {status} {body[:200]!r}")
                await asyncio.sleep(0.05)
            first, *others = took  # makes a session and compiles its template
            shown[path] = {**ms(others), "first_ms": round(1000 * first, 1)}
        journaled, obeyed = [], []
        books = sqlite3.connect(f"file:{folder / 'journal.sqlite'}?mode=ro", uri=True)
        for number in range(1, samples + 1):
            ident = f"INC-{number * 7}"
            (after,) = books.execute("SELECT max(seq) FROM chain").fetchone()
            start = time.perf_counter()
            client = await Client(watch.port).open()  # a kept connection may have been idle for too long
            journaled.append(await watch.command(client, "ack", ident))
            while not acknowledged(books, after):  # noqa: ASYNC110 - another process decides it
                await asyncio.sleep(0.002)
            obeyed.append(time.perf_counter() - start)
            await asyncio.sleep(0.3)
        new = []
        for number in range(samples):
            start = time.perf_counter()
            await client.send(pd_body(number, name="late"))
            new.append(time.perf_counter() - start)
            await asyncio.sleep(0.2)
        peak = watch.peak_mb()
        _, body = await client.send(request("GET", "/api/v1/status", None, watch.token))
        health = json.loads(body)["health"]
    return {
        "alerts": alerts, "incidents": incidents, "start_seconds": round(started, 2), "pages": shown,
        "status_change_journaled": ms(journaled), "status_change_in_force": ms(obeyed), "alert_accepted": ms(new),
        "turn_median_ms": health["tick_ms_median"], "turn_worst_ms": health["tick_ms_worst"], "peak_mb": round(peak),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--distinct", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--only", default="", help="one of the parts")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    parts: dict[str, Callable[[Path], Awaitable[dict[str, Any]]]] = {
        "idle": lambda folder: idle(folder, given.samples),
        "alertmanager": lambda folder: storm(folder, "alertmanager", given.distinct, given.times, 16, False, rng),
        "pagerduty": lambda folder: storm(folder, "pagerduty", given.distinct, given.times, 256, False, rng),
        "answered": lambda folder: storm(folder, "pagerduty", given.distinct, given.times, 256, True, rng),
        "large": lambda folder: large(folder, 100_000, 1000, given.samples),
        "unanswered": lambda folder: unanswered(folder, 1000, given.samples),
    }
    told: dict[str, Any] = {"cores": os.cpu_count(), "seed": given.seed, "load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="midwatch-storm-") as scratch:
        for name, part in parts.items():
            if given.only in ("", name):
                told[name] = asyncio.run(part(Path(scratch) / name))
                print(name, json.dumps(told[name], indent=1), flush=True)
    told["load_after"] = os.getloadavg()
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
