"""One incident, driven from outside: a real ``midwatch up``, killed where the test says and started again."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.kill.fleet import PAGE_SECRET, TOKEN, Fleet, Outside, span_ids
from tests.kill.launch import CLOCK_VARIABLE, SharedClock

from midwatch.model.errors import MidwatchError
from midwatch.model.events import Recorded
from midwatch.model.fold import fold_all
from midwatch.shell.crash import CRASH_VARIABLE
from midwatch.shell.folder import read_running
from midwatch.shell.journal.sqlite import open_readonly

HISTORY_SECONDS = 90.0  # of telemetry that is there before the watch begins
STEP_SECONDS = 2.5  # by which time moves once the watch has looked
HEALTHY_SECONDS = 22.0  # between its start and the deploy that breaks payment

POLICY = """
discover_slos: false
shipped_playbooks: false
resolve_after: 10s
limits: {permissions: [platform.deploy]}
paging: {channels: [phone], repeat: 20s}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: gateway-availability}
spec:
  service: gateway
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: midwatch, spec: {signal: good_requests}}}
        total: {metricSource: {type: midwatch, spec: {signal: requests}}}
  timeWindow:
    - {duration: 30d, isRolling: true}
  objectives:
    - {target: 0.99}
---
playbooks:
  - name: roll-back
    description: run the version from before the last deploy
    kinds: [bad_deploy]
    verb: rollback_deploy
    target: service
    target_kinds: [service]
    autonomy: auto
    expect: {within: 90s, hold: 10s}
"""

SETTINGS = """
channels:
  phone: {{type: webhook, url: "{url}/page", secret: "env:KILL_PAGE_SECRET"}}
actuators:
  platform: {{url: "{url}", token: "env:KILL_TOKEN", verbs: [rollback_deploy, deploy]}}
"""


@dataclass
class Run:
    """What became of one incident. ``died`` counts how often the watch was found dead."""

    folder: Path
    died: int = 0
    entries: list[Recorded] = field(default_factory=list)
    outside: Outside | None = None
    fleet: Fleet | None = None
    stderr: str = ""
    seconds: float = 0.0
    unstored: int = 0  # answers that the store takes no data
    acknowledged_spans: set[str] = field(default_factory=set)  # with a store only
    acknowledged: list[float] = field(default_factory=list)  # fast time of each accepted ack

    def events(self, kind: type[Any]) -> list[Any]:
        return [one.event for one in self.entries if isinstance(one.event, kind)]


class Driver:
    """Sends telemetry, announces the deploy, acknowledges what is paged, restarts what died. ``during`` is called at each
    step with the driver, for what else should happen."""

    def __init__(
        self, folder: Path, *, crash_at: str = "", store: str = "none", history_seconds: float = HISTORY_SECONDS,
        acknowledge: bool = True, mode: str = "auto",
        during: Callable[[Driver], None] | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True)
        self.folder, self.crash_at, self.store, self.mode = folder, crash_at, store, mode
        self.begin = time.time()
        self.clock = SharedClock(folder / "clock", self.begin)
        self.fleet = Fleet(self.clock)
        self.outside = Outside(self.clock, self.fleet.fix_it)
        self.run = Run(folder, outside=self.outside, fleet=self.fleet)
        self.during = during or (lambda _: None)
        self.process: subprocess.Popen[bytes] | None = None
        self.told: dict[str, Any] = {}
        self.client = httpx.Client(trust_env=False, timeout=10)
        self._sent_until = self.begin - history_seconds
        self._unsent: list[bytes] = []
        self._announced = False
        self._acknowledge = acknowledge
        self._began_at = 0.0
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "settings.yaml").write_text(SETTINGS.format(url=self.outside.url) + "policy: [policy.yaml]\n")

    def start(self, crash_at: str = "") -> None:
        environment = {
            **os.environ, CLOCK_VARIABLE: str(self.folder / "clock"), "KILL_PAGE_SECRET": PAGE_SECRET,
            "KILL_TOKEN": TOKEN, "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        environment.pop(CRASH_VARIABLE, None)
        if crash_at:
            environment[CRASH_VARIABLE] = crash_at
        words = ["up", "--folder", str(self.folder), "--mode", self.mode, "--store", self.store, "--tick", "0.05"]
        with (self.folder / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.kill.launch", *words, "--otlp-port", "0", "--console-port", "0"],
                stdout=subprocess.DEVNULL, stderr=errors, env=environment, cwd=Path(__file__).parents[2],
            )  # fmt: skip
        self.told = {}

    def until_resolved(self, seconds: float) -> Run:
        """Let the incident happen and end; ``seconds`` of real time at most."""
        end = time.monotonic() + seconds
        began = time.monotonic()
        try:
            self.start(self.crash_at)
            while time.monotonic() < end:
                self._step()
                self.during(self)
                if self._is_over():
                    break
                time.sleep(0.05)
            self.run.seconds = time.monotonic() - began
        finally:
            self._end()
        return self.run

    def _step(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            assert self.process.returncode == -signal.SIGKILL, self._stderr()
            self.run.died += 1
            self.start()
        if not self.told or self.told.get("pid") != self.process.pid:
            self.told = read_running(self.folder) or {}
            if self.told.get("pid") != self.process.pid:
                self.told = {}
                return
        with contextlib.suppress(httpx.TransportError):  # it died meanwhile: the next step starts it again
            self._deploy()
            self._ack()
            if self._has_turned():
                self.clock.move(STEP_SECONDS)
                self._telemetry()

    def _has_turned(self) -> bool:
        """Whether the watch has looked at the world since the clock was moved. (Its hands may still be at work.)"""
        text = self.client.get(self.told["api"] + "/metrics").text
        found = re.search(r"^midwatch_last_tick_timestamp_seconds (\S+)", text, re.MULTILINE)
        return not self._began_at or (found is not None and float(found[1]) >= self.clock() - 1e-3)

    def _telemetry(self) -> None:
        now = self.clock()
        while self._sent_until < now:
            until = min(self._sent_until + 5.0, now)
            self._unsent.append(self.fleet.traces(self._sent_until, until))
            self._sent_until = until
        self._unsent = self._unsent[-40:]
        while self._unsent:
            answer = self.client.post(
                self.told["otlp"] + "/v1/traces",
                content=self._unsent[0],
                headers={"Content-Type": "application/x-protobuf"},
            )
            if answer.status_code == 503:
                self.run.unstored += 1
                return
            assert answer.status_code == 200, answer.text
            stored = self._unsent.pop(0)
            if self.store != "none":
                self.run.acknowledged_spans |= span_ids(stored)
        self._began_at = self._began_at or now

    def _deploy(self) -> None:
        if self._announced or not self._began_at or self.clock() < self._began_at + HEALTHY_SECONDS:
            return
        if self.fleet.broken_at == math.inf:
            self.fleet.break_it()
        change = {
            "id": "d-1", "at": self.fleet.broken_at, "kind": "deploy", "entity": "service:payment",
            "summary": "payment 2", "before": "1", "after": "2",
        }  # fmt: skip
        answer = self.client.post(self.told["otlp"] + "/v1/changes", json=change)
        self._announced = answer.is_success

    def _ack(self) -> None:
        pages = [page for page in self.outside.of("page") if "resolved" not in page.body["topics"]]
        if not self._acknowledge or not pages or self.clock() <= pages[-1].at:  # nobody answers in the same instant
            return
        if pages[-1].at <= max(self.run.acknowledged, default=0.0):
            return
        incident = pages[-1].body["incident"]
        token = (self.folder / "token").read_text().strip()
        answer = self.client.post(
            self.told["api"] + "/api/v1/commands", json={"verb": "ack", "by": "alice", "target": incident},
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        if answer.is_success:
            self.run.acknowledged.append(self.clock())

    def _is_over(self) -> bool:
        """The incident is resolved, and those who were paged have been told."""
        if not any("resolved" in page.body["topics"] for page in self.outside.of("page")):
            return False
        state = fold_all(journal_of(self.folder))
        waiting = any(page.status == "ordered" for page in state.pages.values())
        return bool(state.incidents) and not state.open_incidents and not waiting

    def _stderr(self) -> str:
        return (self.folder / "stderr").read_text("utf-8", "replace")[-4000:]

    def _end(self) -> None:
        if self.process is not None:
            self.run.died += self.process.poll() == -signal.SIGKILL
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.client.close()
        self.outside.close()
        self.run.stderr = self._stderr()
        self.run.entries = journal_of(self.folder)


def journal_of(folder: Path) -> list[Recorded]:
    try:
        journal = open_readonly(folder / "journal.sqlite")
    except MidwatchError:
        return []
    try:
        return list(journal.read())
    finally:
        journal.close()


def told_as_text(entries: list[Recorded]) -> str:
    """The journal as a few lines, for whoever reads a failed test."""
    first = entries[0].at if entries else 0.0
    return "\n".join(
        f"{e.at - first:7.1f} {e.seq:3d} {type(e.event).__name__} {json.dumps(str(e.event))[:220]}" for e in entries
    )
