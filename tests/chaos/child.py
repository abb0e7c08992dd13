"""The watch of a chaos run, in a process of its own: the real shell, journal, effects, channels and people's stages. What a
plan opens and ends takes the place of detection, and the clock is the test's.

Shared memory, in doubles: the clock; the time of the last turn; the journal's head after it; how many pages wait; 1 to stop;
which replica turned last.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvicorn  # noqa: F401
from tests.chaos.plan import incidents

import midwatch.shell.ingest.builder  # what a start imports late is here before it
import midwatch.shell.journal.postgres
import midwatch.shell.journal.sqlite  # noqa: F401
from midwatch.core.decide.obey import obey
from midwatch.core.memory import Memory
from midwatch.core.oncall.handoff import hand_off
from midwatch.core.oncall.page import page
from midwatch.core.oncall.rota import rota
from midwatch.core.oncall.wake import wake
from midwatch.core.turn import Turn
from midwatch.faces.api.app import api_app
from midwatch.model.errors import Deposed
from midwatch.model.events import Event, IncidentMitigated, IncidentOpened, IncidentResolved, PageOrdered
from midwatch.model.state import State
from midwatch.model.world import World
from midwatch.shell import duty
from midwatch.shell.channels import build_channels
from midwatch.shell.config import load_settings
from midwatch.shell.effects import Limits
from midwatch.shell.run import Watch

CLOCK, TURN_AT, HEAD, WAITING, STOP, LEADER, WORDS = 0, 1, 2, 3, 4, 5, 6
LIMITS = Limits(page_attempts=3, page_timeout_seconds=0.4, page_backoff_seconds=0.03, max_retry_after_seconds=0.1)
BLIND_SECONDS = 0.5  # so soon does a leader without its database page without a journal
RETRY_SECONDS = 0.05


def shared(path: Path, *, create: bool = False) -> memoryview:
    if create:
        path.write_bytes(bytes(8 * WORDS))
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 8 * WORDS)).cast("d")


class Stamped:
    """A channel that notes what leaves, with what the journal said at that moment: the judge's evidence."""

    def __init__(self, channel: Any, watch: list[Watch], out: int, words: memoryview) -> None:
        self.name, self._channel, self._watch, self._out, self._words = channel.name, channel, watch, out, words

    async def send(self, order: PageOrdered) -> None:
        watch = self._watch[0]
        known = watch.state.pages.get(order.page)
        line = {
            "page": order.page,
            "key": order.key,
            "person": order.person,
            "to": order.to,
            "at": watch.now(),
            "at_before": self._words[TURN_AT],  # the clock may have moved since the last look at whether it is wanted
            "seq": watch.state.seq,
        }
        if known is None or known.ordered.key != order.key:
            line["unjournaled"] = msgspec.to_builtins(order)
        os.write(self._out, (json.dumps(line) + "\n").encode())
        await self._channel.send(order)


class Script:
    """The plan as a loop: opens and ends what is due, and the rest is the product's."""

    def __init__(self, seed: int, count: int) -> None:
        self.plan = incidents(seed, count)
        self.decided = 0  # events, by the last turn

    def __call__(
        self, state: State, memory: Memory, world: World, inputs: Sequence[Event], now: float
    ) -> tuple[tuple[Event, ...], Memory]:
        self.decided = 1  # until it is known: a turn that fails has decided something
        turn = Turn(state, memory, world, max(now, state.at), tuple(inputs))
        while (number := turn.state.next_incident) <= len(self.plan) and self.plan[number - 1].opens_at <= turn.now:
            one = self.plan[number - 1]
            entity = f"service:{one.service}"
            turn = turn.emit(
                IncidentOpened(
                    f"INC-{number}", f"{one.service} fails", turn.now, one.severity, "as planned", (), (entity,)
                )
            )
        for incident in turn.state.open_incidents:
            if turn.now - incident.opened_at >= self.plan[int(incident.id[4:]) - 1].length_seconds:
                turn = turn.emit(IncidentMitigated(incident.id, "itself"), IncidentResolved(incident.id, "as planned"))
        for stage in (obey, rota, hand_off, wake, page):
            turn = stage(turn)
        self.decided = len(turn.events)
        return turn.events, turn.memory


async def stand(root: Path, number: int, seed: int, count: int) -> None:
    """The replica ``number`` of a run whose shared files lie in ``root``."""
    words = shared(root / "shared")
    settings = load_settings(root / f"replica-{number}", {"otlp_port": 0, "console_port": 0, "store": "none"})
    out = os.open(root / "left.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    holder: list[Watch] = []
    channels = [Stamped(channel, holder, out, words) for channel in build_channels(settings)]
    script = Script(seed, count)
    watch = Watch(
        settings,
        channels=channels,
        console=api_app,
        clock=lambda: words[CLOCK],
        limits=LIMITS,
        tick=script,
    )
    holder.append(watch)
    stopping = asyncio.Event()
    await watch.start()
    looking = asyncio.create_task(_look_for_the_end(words, stopping))
    try:
        while not words[STOP]:
            if not watch.duty.leading:
                await watch.duty.stand_by(stopping, 0.1)
                continue
            before = watch.now()
            try:
                recorded = await watch.tick_once()
            except Deposed:
                watch.handover.step_down()
                continue
            if (script.decided and not recorded) or not watch.books.held(0.0):
                await asyncio.sleep(RETRY_SECONDS)  # that was no turn: what it decided is not in the journal
                continue
            words[HEAD], words[WAITING], words[LEADER] = watch.state.seq, watch.effects.waiting, number
            words[TURN_AT] = before
            while (  # noqa: ASYNC110
                words[CLOCK] <= words[TURN_AT] and not words[STOP] and not watch.inputs_waiting and watch.duty.leading
            ):
                await asyncio.sleep(0.002)
    finally:
        await asyncio.gather(looking)
        await watch.stop()


async def _look_for_the_end(words: memoryview, stopping: asyncio.Event) -> None:
    while not words[STOP]:  # noqa: ASYNC110 - another process says it
        await asyncio.sleep(0.02)
    stopping.set()


def main(root: Path, seed: int, count: int) -> None:
    """For each number on standard input that replica begins, and its process' number is said: a start as after a crash,
    without the second that the imports take."""
    duty.BLIND_SECONDS = BLIND_SECONDS  # type: ignore[misc]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who is killed is gone
    for line in sys.stdin:
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status = 1
        try:
            asyncio.run(stand(root, int(line), seed, count))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
