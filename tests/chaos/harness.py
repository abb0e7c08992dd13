"""Runs one chaos: a watch as a process, killed again and again, channels that fail, a clock that leaps; then the judge.

    python -m tests.chaos.harness --seed 1 --escalations 500 --out docs/results/oncall-chaos.json

Alone it keeps its journal in a file. As two replicas they share a PostgreSQL, which is stopped, killed and away for a
while, and each has a path to it that may go dark.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.chaos.child import CLOCK, HEAD, LEADER, STOP, TURN_AT, WAITING, shared
from tests.chaos.judge import Verdict, judge
from tests.chaos.plan import BEGIN, CHANNELS, PEOPLE, STEP_SECONDS, Trouble, incidents, team_file
from tests.chaos.receiver import Receiver
from tests.ha.postgres import Proxy, Server

from midwatch.gym.simulator.trace import Ticked
from midwatch.model.events import Recorded
from midwatch.shell.config import load_settings
from midwatch.shell.folder import read_running
from midwatch.shell.journal.opened import open_for_reading

START_SECONDS = 120.0
TURN_SECONDS = 120.0
QUIET_STEPS = 70  # longer than any incident
BLIND_STEP_SECONDS = 0.35  # of a database that is away: so long does a step last that nobody may be able to turn in
OUTAGE_STEPS = 15  # longer than a lease and the patience of a leader without one
CUT_STEPS = (8, 14)  # about as long as a lease
REPLICAS = 2


@dataclass
class Chaos:
    """One run, from its folder to its verdict."""

    folder: Path
    seed: int
    count: int
    database: Server | None = None

    def __post_init__(self) -> None:
        self.trouble = Trouble(self.seed)
        self.receiver = Receiver(self.trouble.moods)
        self.paths = [Proxy(self.database.port) for _ in range(REPLICAS)] if self.database else []
        self.replicas = [self.folder / f"replica-{n}" for n in range(len(self.paths) or 1)]
        for number, replica in enumerate(self.replicas):
            (replica / "people").mkdir(parents=True)
            (replica / "people" / "team.yaml").write_text(team_file())
            (replica / "settings.yaml").write_text(self._settings(number, replica))
        self.words = shared(self.folder / "shared", create=True)
        self.words[CLOCK] = BEGIN
        self.plan = incidents(self.seed, self.count)
        self.ticks: list[Ticked] = []
        self.died = self.leaps = self.answered = 0
        self.befell: Counter[str] = Counter()
        self.processes: dict[int, int] = {}  # the number of a replica -> that of its process
        self._maker: subprocess.Popen[str] | None = None
        self.well: list[tuple[float, bool]] = []  # at which moments every channel took what came
        self._client = httpx.Client(trust_env=False, timeout=5)
        self._rng = random.Random(f"people {self.seed}")
        self._answers: dict[str, str] = {}  # incident -> who will acknowledge it
        self._seen = 0

    def _settings(self, number: int, replica: Path) -> str:
        lines = ["channels:"]
        lines += [f'  {name}: {{type: webhook, url: "{self.receiver.url}/{name}"}}' for name in CHANNELS]
        if self.database:
            (replica / "dsn").write_text(self.database.dsn_at(self.paths[number].port))
            lines.append(f'journal: {{postgres: "file:{replica}/dsn", replica: r{number}}}')
        return "\n".join((*lines, ""))

    def run(self) -> Verdict:
        began = time.monotonic()
        try:
            last = max(one.opens_at for one in self.plan)
            with (self.folder / "stderr").open("ab") as errors:
                self._maker = subprocess.Popen(
                    [sys.executable, "-m", "tests.chaos.child", str(self.folder), str(self.seed), str(self.count)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                )  # fmt: skip
            for number in range(len(self.replicas)):
                self._start(number)
            self._all_run()
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

    def _start(self, number: int) -> None:
        (self.replicas[number] / "running.json").unlink(missing_ok=True)
        maker = self._maker
        assert maker is not None and maker.stdin is not None and maker.stdout is not None
        maker.stdin.write(f"{number}\n")
        maker.stdin.flush()
        self.processes[number] = int(maker.stdout.readline())

    def _all_run(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not all(read_running(replica) for replica in self.replicas):
            self._alive(end, "a replica did not start")

    def _alive(self, end: float, otherwise: str) -> None:
        if not all(_lives(pid) for pid in self.processes.values()) or time.monotonic() > end:
            raise AssertionError(f"{otherwise}: {(self.folder / 'stderr').read_text()[-3000:]}")
        time.sleep(0.001)

    def _kill(self, number: int) -> None:
        os.kill(self.processes[number], signal.SIGKILL)
        self._wait(number, 10)
        self.died += 1

    def _wait(self, number: int, seconds: float) -> bool:
        """Whether the process has ended in time."""
        end = time.monotonic() + seconds
        while _lives(self.processes[number]) and time.monotonic() < end:
            time.sleep(0.001)
        return not _lives(self.processes[number])

    def _end(self) -> None:
        self.words[STOP] = 1
        for number in self.processes:
            if not self._wait(number, 20):
                self._kill(number)
        if self._maker is not None:
            self._maker.communicate(timeout=10)
        for path in self.paths:
            path.close()
        self.receiver.close()
        self._client.close()

    # -- one step --

    def _step(self, number: int) -> None:
        kill, leap = self.trouble.step(number)
        if kill:
            time.sleep(self._rng.uniform(0, 0.02))  # in the middle of whatever it does
            one = self._rng.randrange(len(self.replicas))
            self._kill(one)
            self._start(one)
        if self.database and (what := self.trouble.database(number)):
            self._trouble_at(self.database, what)
        self._turn()
        self.well.append((self.words[CLOCK], set(self.trouble.moods.values()) <= {"well", "slow"}))
        self._people()
        if leap:
            self.leaps += 1
            self.words[CLOCK] += leap
        self.words[CLOCK] += STEP_SECONDS

    def _trouble_at(self, database: Server, what: str) -> None:
        self._all_run()  # who starts without its database gives up, and whoever supervises it starts it again
        self.befell[what] += 1
        time.sleep(self._rng.uniform(0, 0.02))
        if what == "cut":
            leader = self.paths[int(self.words[LEADER])]
            paths = self.paths if self._rng.random() < 0.3 else [leader]
            for path in paths:
                path.dark = True
            self._blind(self._rng.randint(*CUT_STEPS))
            for path in paths:
                path.dark = False
            return
        (database.stop if what == "restart" else database.kill)()
        if what == "outage":
            self._blind(OUTAGE_STEPS)
        database.start()

    def _blind(self, steps: int) -> None:
        """Time goes on, whether anybody can turn or not."""
        for _ in range(steps):
            self._turn(BLIND_STEP_SECONDS)
            self.well.append((self.words[CLOCK], False))
            self.words[CLOCK] += STEP_SECONDS

    def _turn(self, patience_seconds: float = math.inf) -> None:
        """Wait until the watch has looked at this moment, or patience is at its end."""
        began = time.monotonic()
        while self.words[TURN_AT] < self.words[CLOCK]:
            self._alive(began + TURN_SECONDS, "nobody turns")
            if time.monotonic() - began > patience_seconds:
                return
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
        for replica in self.replicas:
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
        reader = open_for_reading(load_settings(self.replicas[0]))
        try:
            assert reader.verify().ok, "the journal's chain does not hold"
            return list(reader.read())
        finally:
            reader.close()

    def _epochs(self) -> list[int]:
        """Of each entry in the database, in order: who wrote it."""
        if self.database is None:
            return []
        with psycopg.connect(self.database.dsn) as connection:
            return [row[0] for row in connection.execute("SELECT epoch FROM midwatch.chain ORDER BY seq")]

    def _judged(self, seconds: float) -> Verdict:
        left = [json.loads(line) for line in (self.folder / "left.jsonl").read_text().splitlines() if _whole(line)]
        found = judge(self.entries(), left, self.receiver.got, self.ticks, self.well)
        epochs = self._epochs()
        found.claim(epochs == sorted(epochs), f"who was deposed has written: {epochs}")
        found.figures |= {
            "seed": self.seed,
            "replicas": len(self.replicas),
            "leaders_in_turn": len(set(epochs)),
            "kills": self.died,
            "database": dict(self.befell),
            "clock_leaps": self.leaps,
            "answers": self.answered,
            "refused_by_receivers": self.receiver.refused,
            "seconds": round(seconds, 1),
        }
        return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _whole(line: str) -> bool:
    """A killed process may have written half a line."""
    return line.startswith("{") and line.endswith("}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Escalations under kill -9, outages of channels and of the database, and leaps of the clock."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--escalations", type=int, default=500)
    parser.add_argument("--alone", action="store_true", help="one watch with a file; else two replicas and PostgreSQL")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    database = None if given.alone else Server()
    try:
        with tempfile.TemporaryDirectory(prefix="midwatch-chaos-") as folder:
            verdict = Chaos(Path(folder) / "watch", given.seed, given.escalations, database).run()
    finally:
        if database:
            database.close()
    told: dict[str, Any] = {**verdict.figures, "wrong": verdict.wrong}
    print(json.dumps(told, indent=1))
    if given.out:
        given.out.write_text(json.dumps(told, indent=1) + "\n")
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
