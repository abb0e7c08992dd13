"""``midwatch demo``: a fleet of real services, a watch on auto, and a fault. Sit back.

The fleet and the watch are processes of their own. The watch is told where the fleet's front doors are (its deploy platform,
its proxy, its databases) and nothing else: not that something will break, nor what, nor when.
"""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import socket
import time
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from midwatch.gym.faults.base import Map
from midwatch.gym.faults.catalog import FAULTS, Case, draw_case, named
from midwatch.gym.faults.truth import Truth
from midwatch.gym.fleet import DarkError, Fleet, FleetError
from midwatch.gym.score.reset import put_back
from midwatch.gym.score.witness import Witness
from midwatch.gym.watched import WatchError, WatchProcess, free_port
from midwatch.model import events as e
from midwatch.model.errors import MidwatchError
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.fold import fold
from midwatch.model.state import State

NORMAL_SECONDS = 50.0
DETECT_SECONDS = 30.0
FIX_SECONDS = 90.0
GIVE_UP_SECONDS = 240.0
BETWEEN_SECONDS = 150.0
FIRST = ("pool_exhausted", "service:payment")


class Seen(Struct):
    """How one fault went, in seconds: from the injection to the incident, from there to the proven fix."""

    fault: str
    entity: str
    detect_seconds: float | None = None
    first_cause: str = ""
    cause_right: bool = False
    fixed: bool = False
    fix_seconds: float | None = None
    resolved: bool = False
    postmortem: str = ""

    @property
    def ok(self) -> bool:
        return (
            self.detect_seconds is not None
            and 0 <= self.detect_seconds <= DETECT_SECONDS
            and self.cause_right
            and self.fixed
            and self.fix_seconds is not None
            and self.fix_seconds <= FIX_SECONDS
        )


class Narrator:
    """Says in the terminal what the watch writes into its journal."""

    def __init__(self, console: Console, folder: Path) -> None:
        self.console, self.folder = console, folder
        self.began = time.time()
        self.state = State()
        self._cause: dict[str, str] = {}

    def say(self, text: str, style: str = "") -> None:
        stamp = time.strftime("%H:%M:%S")
        self.console.print(Text.assemble((f"{stamp}  ", "dim"), (text, style)), soft_wrap=True)

    def tell(self, one: e.Recorded) -> None:
        """One entry of the journal, as a line where it is news."""
        self.state = fold(self.state, one)
        event = one.event
        if isinstance(event, e.IncidentOpened):
            self.say(f"midwatch: incident {event.incident}, SEV{event.severity}: {event.title}", "bold red")
        elif isinstance(event, e.CauseRanked) and event.hypotheses:
            top = event.hypotheses[0]
            cause = f"{top.entity} {top.kind}"
            if self._cause.get(event.incident) != cause:
                self._cause[event.incident] = cause
                what = DESCRIPTIONS.get(top.kind, top.kind)
                why = f" ({top.evidence[0].text})" if top.evidence else ""
                self.say(f"midwatch: likely cause {top.entity}: {what}, {top.probability:.0%}{why}", "yellow")
        elif isinstance(event, e.ActionJudged) and event.verdict.decision != "run":
            action = event.action
            self.say(
                f"midwatch: {action.verb} {action.target}: {event.verdict.decision} ({event.verdict.why})", "magenta"
            )
        elif isinstance(event, e.ActionOrdered) and (record := self.state.actions.get(event.action_id)):
            with_what = ", ".join(f"{k}={v}" for k, v in record.action.parameters.items())
            self.say(f"midwatch: doing {record.action.verb} {record.action.target} {with_what}", "cyan")
        elif isinstance(event, e.ActionEnded):
            self.say(f"midwatch: {event.outcome.status}: {event.outcome.result}", "cyan")
        elif isinstance(event, e.ExpectationJudged):
            good = event.result == "met"
            self.say(f"midwatch: expectation {event.result}: {event.why}", "bold green" if good else "bold yellow")
        elif isinstance(event, e.PageOrdered) and event.repeat == 0:
            self.say(f"midwatch: pages {event.channel}: {event.subject}", "magenta")
        elif isinstance(event, e.IncidentResolved):
            self.say(f"midwatch: {event.incident} resolved: {event.why}", "bold green")
        elif isinstance(event, e.PostmortemWritten):
            self.say(f"midwatch: post-mortem in {self._keep(event)}", "bold")

    def _keep(self, event: e.PostmortemWritten) -> Path:
        path = self.folder / f"postmortem-{event.incident}.md"
        path.write_text(event.markdown, "utf-8")
        return path


class Demo:
    """One demo: a fleet, a watch over it, and somebody who breaks things."""

    def __init__(self, folder: Path, seed: int, console: Console) -> None:
        self.folder = folder.absolute() / time.strftime("%Y%m%d-%H%M%S")
        self.seed, self.console = seed, console
        self.narrator = Narrator(console, self.folder)
        self.number = 0
        self._met_at: dict[str, float] = {}

    async def run(self, once: bool) -> Seen | None:
        """Until the first fault is over (``once``), or until stopped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        otlp, console = self._port(4318, "telemetry"), self._port(8484, "the console")
        self.narrator.say("starting 16 services in two regions, a proxy, a database, a cache, a queue and users ...")
        fleet = Fleet(self.folder / "fleet", f"http://127.0.0.1:{otlp}", seed=self.seed)
        store = "embedded" if importlib.util.find_spec("chdb") else "none"
        watch = WatchProcess(self.folder / "watch", fleet.directory, otlp_port=otlp, console_port=console, store=store)
        try:
            await fleet.start()
            self.narrator.say(f"the fleet is up after {fleet.started_in_seconds:.1f} s")
            await Witness(fleet).settled()
            await watch.start()
            self.narrator.say(f"midwatch is on watch, mode auto: http://127.0.0.1:{watch.console_port}", "bold green")
            return await self._play(fleet, watch, once)
        finally:
            self.narrator.say("ending everything ...")
            await watch.stop()
            await fleet.stop()

    async def _play(self, fleet: Fleet, watch: WatchProcess, once: bool) -> Seen | None:
        known = Map.read(await fleet.dark.call("targets"))
        witness = Witness(fleet)
        reader = asyncio.create_task(self._read(watch))
        rng = Random(f"demo {self.seed}")
        try:
            await self._quiet(witness, NORMAL_SECONDS)
            fault, entity = FIRST
            seen = await self._break(fleet, draw_case(self.seed, 0, named(fault), known, entity=entity), reader)
            while not once:
                self.narrator.say(
                    f"the next fault comes in about {BETWEEN_SECONDS / 60:.0f} minutes; Ctrl-C ends it all"
                )
                await put_back(fleet, known.regions)
                await self._quiet(witness, BETWEEN_SECONDS * rng.uniform(0.8, 1.2))
                self.number += 1
                case = draw_case(self.seed, self.number, rng.choice(FAULTS), known)
                await self._break(fleet, case, reader)
            return seen
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _quiet(self, witness: Witness, seconds: float) -> None:
        begun = time.time()
        self.narrator.say(f"users come and go; for {seconds:.0f} s nothing is wrong")
        while (left := begun + seconds - time.time()) > 0:
            await asyncio.sleep(min(15.0, left))
            requests = witness.requests(time.time() - 15)
            bad = sum(r.bad for r in requests)
            self.narrator.say(f"{len(requests)} requests in 15 s, {bad} of them bad", "dim")

    async def _break(self, fleet: Fleet, case: Case, reader: asyncio.Task[None]) -> Seen:
        truth = case.truth
        fault = named(truth.fault)
        await fault.prepare(fleet, truth)
        injected = time.time()
        await fault.inject(fleet, truth)
        self.narrator.say(f"injected, unseen by midwatch: {fault.summary} ({truth.entity})", "bold")
        seen = Seen(truth.fault, truth.entity)
        while time.time() < injected + GIVE_UP_SECONDS:
            if reader.done():
                reader.result()
            if self._judge(seen, truth, injected):
                break
            await asyncio.sleep(0.5)
        else:
            self.narrator.say("nobody mended it in time; putting it back", "bold yellow")
        return seen

    def _judge(self, seen: Seen, truth: Truth, injected: float) -> bool:
        """Update ``seen`` from the journal; True when the incident is over."""
        state = self.narrator.state
        ours = sorted((i for i in state.incidents.values() if i.opened_at >= injected), key=lambda i: i.opened_at)
        if not ours:
            return False
        incident = ours[0]
        seen.detect_seconds = incident.opened_at - injected
        if incident.first_ranked:
            top = incident.first_ranked[0]
            seen.first_cause, seen.cause_right = f"{top.entity} {top.kind}", truth.says(top.entity, top.kind)
        for record in state.actions_of(incident.id):
            action = record.action
            if record.status == "met" and truth.cured_by(action.verb, action.target, action.parameters):
                seen.fixed = True
                seen.fix_seconds = (self._met_at.get(action.id) or state.at) - incident.opened_at
        seen.resolved = incident.phase == "resolved"
        path = self.folder / f"postmortem-{incident.id}.md"
        seen.postmortem = str(path) if path.exists() else ""
        return seen.resolved and bool(seen.postmortem)

    async def _read(self, watch: WatchProcess) -> None:
        """Follow the journal as anybody may: read-only."""
        seq = 0
        while True:
            if not watch.running:
                raise WatchError(f"midwatch ended by itself: {watch.log_path.read_text(errors='replace')[-800:]}")
            for one in await asyncio.to_thread(watch.events, seq):
                seq = one.seq
                if isinstance(one.event, e.ExpectationJudged) and one.event.result == "met":
                    self._met_at[one.event.action_id] = one.at
                self.narrator.tell(one)
            await asyncio.sleep(0.5)

    def _port(self, wanted: int, what: str) -> int:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
                return wanted
            except OSError:
                port = free_port()
                self.narrator.say(f"port {wanted} is taken: {what} is on {port}", "yellow")
                return port


def run(folder: Path | str = "demo-data", seed: int = 1, once: bool = False, as_json: bool = False) -> Any:
    """``midwatch demo``. With ``once``: 0 when detected within 30 s, with the true cause first, fixed and proven within
    90 s more; else 1. With ``as_json``: what was seen, with ``ok``."""
    console = Console(stderr=as_json, highlight=False)
    demo = Demo(Path(folder), seed, console)
    try:
        seen = asyncio.run(_until_interrupted(demo, once))
    except (WatchError, FleetError, DarkError, OSError) as error:
        raise MidwatchError(f"the demo stopped: {error}") from error
    if seen is None:
        return 0
    if as_json:
        return {"ok": seen.ok, **{name: getattr(seen, name) for name in seen.__struct_fields__}}
    demo.narrator.say(_verdict(seen), "bold green" if seen.ok else "bold red")
    return 0 if seen.ok else 1


async def _until_interrupted(demo: Demo, once: bool) -> Seen | None:
    """Ctrl-C and SIGTERM end everything in order."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(demo.run(once))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return None


def _verdict(seen: Seen) -> str:
    if seen.detect_seconds is None:
        return f"{seen.fault} in {seen.entity} was not detected"
    found = f"detected in {seen.detect_seconds:.0f} s; first cause {seen.first_cause or 'none'}"
    found += " (true)" if seen.cause_right else f" (true: {seen.entity} {seen.fault})"
    if seen.fix_seconds is None:
        return f"{found}; not fixed"
    return f"{found}; fixed and proven {seen.fix_seconds:.0f} s later; post-mortem: {seen.postmortem or 'none'}"


if __name__ == "__main__":
    raise SystemExit(run(once=True))
