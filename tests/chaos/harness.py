"""Runs one chaos: a watch as a process, killed again and again, channels that fail, a clock that leaps; then the judge.

    python -m tests.chaos.harness --seed 1 --escalations 500 --out docs/results/oncall-chaos.json

``journals`` is what each replica's settings.yaml says of its journal: one of "" keeps a file in its folder, several name
one database. So the same run can be judged on replicas.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.chaos.child import CLOCK, HEAD, STOP, TURN_AT, WAITING, shared
from tests.chaos.judge import Verdict, judge
from tests.chaos.plan import BEGIN, CHANNELS, PEOPLE, STEP_SECONDS, Trouble, incidents, team_file
from tests.chaos.receiver import Receiver

from midwatch.gym.simulator.trace import Ticked
from midwatch.model.events import Recorded
from midwatch.shell.config import load_settings
from midwatch.shell.folder import read_running
from midwatch.shell.journal.opened import open_for_reading

START_SECONDS = 120.0
TURN_SECONDS = 120.0
QUIET_STEPS = 70  # longer than any incident


@dataclass
class Chaos:
    """One run, from its folder to its verdict."""

    folder: Path
    seed: int
    count: int
    journals: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        self.trouble = Trouble(self.seed)
        self.receiver = Receiver(self.trouble.moods)
        channels = [f'  {name}: {{type: webhook, url: "{self.receiver.url}/{name}"}}' for name in CHANNELS]
        self.replicas = {f"replica-{n}": self.folder / f"replica-{n}" for n in range(len(self.journals))}
        for journal, replica in zip(self.journals, self.replicas.values(), strict=True):
            (replica / "people").mkdir(parents=True)
            (replica / "people" / "team.yaml").write_text(team_file())
            (replica / "settings.yaml").write_text("\n".join(("channels:", *channels, journal, "")))
        self.words = shared(self.folder / "shared", create=True)
        self.words[CLOCK] = BEGIN
        self.plan = incidents(self.seed, self.count)
        self.ticks: list[Ticked] = []
        self.died = self.leaps = self.answered = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.well: list[tuple[float, bool]] = []  # at which moments every channel took what came
        self._client = httpx.Client(trust_env=False, timeout=5)
        self._rng = random.Random(f"people {self.seed}")
        self._answers: dict[str, str] = {}  # incident -> who will acknowledge it
        self._seen = 0

    def run(self) -> Verdict:
        began = time.monotonic()
        try:
            last = max(one.opens_at for one in self.plan)
            for name in self.replicas:
                self._start(name)
            number = 0
            while self.words[CLOCK] < last:
                self._step(number)
                number += 1
            self.trouble.moods.update(dict.fromkeys(CHANNELS, "well"))
            for _ in range(QUIET_STEPS):  # everything is well again: what is under way comes to its end
                self._turn()
                self.words[CLOCK] += STEP_SECONDS
            self._drain()
        finally:
            self._end()
        return self._judged(time.monotonic() - began)

    # -- the processes --

    def _start(self, name: str) -> None:
        (self.replicas[name] / "running.json").unlink(missing_ok=True)
        with (self.folder / "stderr").open("ab") as errors:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.child", str(self.folder), name, str(self.seed), str(self.count)],
                stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while read_running(self.replicas[name]) is None:
            self._alive(end, f"{name} did not start")

    def _alive(self, end: float, otherwise: str) -> None:
        if any(process.poll() is not None for process in self.processes.values()) or time.monotonic() > end:
            raise AssertionError(f"{otherwise}: {(self.folder / 'stderr').read_text()[-3000:]}")
        time.sleep(0.001)

    def _kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(10)
        self.died += 1

    def _end(self) -> None:
        self.words[STOP] = 1
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()
                process.wait(10)
        self.receiver.close()
        self._client.close()

    # -- one step --

    def _step(self, number: int) -> None:
        kill, leap = self.trouble.step(number)
        if kill:
            time.sleep(self._rng.uniform(0, 0.02))  # in the middle of whatever it does
            name = self._rng.choice(sorted(self.replicas))
            self._kill(name)
            self._start(name)
        self._turn()
        self.well.append((self.words[CLOCK], set(self.trouble.moods.values()) <= {"well", "slow"}))
        self._people()
        if leap:
            self.leaps += 1
            self.words[CLOCK] += leap
        self.words[CLOCK] += STEP_SECONDS

    def _turn(self) -> None:
        """Wait until the watch has looked at this moment."""
        end = time.monotonic() + TURN_SECONDS
        while self.words[TURN_AT] < self.words[CLOCK]:
            self._alive(end, "nobody turns")
        at, head = self.words[TURN_AT], int(self.words[HEAD])
        self.ticks.append(Ticked(at, 1, head, True))

    def _drain(self) -> None:
        end = time.monotonic() + TURN_SECONDS
        while self.words[WAITING]:
            self._turn()
            self._alive(end, "pages are under way for ever")
            self.words[CLOCK] += 0.01

    # -- people --

    def _people(self) -> None:
        """Who was paged often enough answers; now and then somebody stands in."""
        fresh, self._seen = self.receiver.got[self._seen :], len(self.receiver.got)
        for got in fresh:
            if not got.incident or "resolved" in got.topics:
                continue
            planned = self.plan[int(got.incident[4:]) - 1]
            pages = len({g.key for g in self.receiver.got if g.incident == got.incident})
            if planned.answer_after and pages >= planned.answer_after:
                self._answers[got.incident] = got.key.split("/")[2] if got.key.count("/") > 2 else "ana"
        for incident, who in tuple(self._answers.items()):
            if self._say("ack", incident, who):
                del self._answers[incident]
                self.answered += 1
        if self._rng.random() < 0.02:
            now = self.words[CLOCK]
            person = self._rng.choice((*PEOPLE, "nobody"))
            schedule = self._rng.choice(("first", "second"))
            self._say("override", schedule, "ana", f"{person} {now + 30:.0f} {now + self._rng.choice((90, 600)):.0f}")
        if self._rng.random() < 0.02 and self.plan:
            now = self.words[CLOCK]
            going = [n for n, one in enumerate(self.plan, 1) if one.opens_at < now < one.opens_at + one.length_seconds]
            if going:
                self._say("escalate", f"INC-{self._rng.choice(going)}", self._rng.choice(PEOPLE))

    def _say(self, verb: str, target: str, by: str, value: str = "") -> bool:
        """Whether it was taken, or made no sense any more."""
        body = {"verb": verb, "target": target, "by": by, "value": value, "via": "cli"}
        for replica in self.replicas.values():
            told = read_running(replica) or {}
            token = (replica / "token").read_text().strip()
            with contextlib.suppress(httpx.HTTPError, KeyError):
                answer = self._client.post(
                    f"{told['api']}/api/v1/commands", json=body, headers={"Authorization": f"Bearer {token}"}
                )
                if answer.status_code in (202, 400, 404):
                    return True
        return False

    # -- the verdict --

    def entries(self) -> list[Recorded]:
        reader = open_for_reading(load_settings(next(iter(self.replicas.values()))))
        try:
            assert reader.verify().ok, "the journal's chain does not hold"
            return list(reader.read())
        finally:
            reader.close()

    def _judged(self, seconds: float) -> Verdict:
        left = [json.loads(line) for line in (self.folder / "left.jsonl").read_text().splitlines() if _whole(line)]
        found = judge(self.entries(), left, self.receiver.got, self.ticks, self.well)
        found.figures |= {
            "seed": self.seed,
            "replicas": len(self.replicas),
            "kills": self.died,
            "clock_leaps": self.leaps,
            "answers": self.answered,
            "refused_by_receivers": self.receiver.refused,
            "seconds": round(seconds, 1),
        }
        return found


def _whole(line: str) -> bool:
    """A killed process may have written half a line."""
    return line.startswith("{") and line.endswith("}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Escalations under kill -9, outages of channels and leaps of the clock."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--escalations", type=int, default=500)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="midwatch-chaos-") as folder:
        verdict = Chaos(Path(folder) / "watch", given.seed, given.escalations).run()
    told: dict[str, Any] = {**verdict.figures, "wrong": verdict.wrong}
    print(json.dumps(told, indent=1))
    if given.out:
        given.out.write_text(json.dumps(told, indent=1) + "\n")
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
