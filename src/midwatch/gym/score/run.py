"""``midwatch gym score``: draws cases, plays each on a real fleet under a real watch, and judges what came out."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from msgspec.structs import replace

from midwatch.gym.faults import background
from midwatch.gym.faults.base import Map
from midwatch.gym.faults.catalog import CONTROLS, FAULTS, Case, draw_case, named
from midwatch.gym.fleet import Fleet, FleetError
from midwatch.gym.fleet.dark import DarkError
from midwatch.gym.last_words import last_words
from midwatch.gym.score.judge import Score, judge
from midwatch.gym.score.report import CaseFile, page, read_cases
from midwatch.gym.score.reset import put_back
from midwatch.gym.score.users import RECOVERED_SECONDS, Request, first_harm, recovered_at
from midwatch.gym.score.witness import Witness
from midwatch.gym.watched import WatchError, WatchProcess, free_port
from midwatch.model.errors import ActuatorError

GIVE_UP_SECONDS = 300.0
CONTROL_SECONDS = 150.0
Say = Callable[[str], None]


class Wanted(msgspec.Struct, frozen=True):
    """One case to play: a fault's name, the seed, and a number for more cases of the same kind."""

    fault: str
    seed: int
    number: int

    @property
    def file_name(self) -> str:
        return f"case-{self.fault}-{self.seed}-{self.number}.json"


def wanted(seeds: Sequence[int], kinds: Sequence[str] = (), cases: int = 1) -> list[Wanted]:
    """What to play: ``cases`` of each kind (every fault and control when none is named) for each seed.

    Raises LookupError for an unknown kind.
    """
    names = [named(kind).name for kind in kinds] or [f.name for f in (*FAULTS, *CONTROLS)]
    return [Wanted(name, seed, number) for number in range(cases) for seed in seeds for name in names]


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("midwatch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


async def score(
    seeds: Sequence[int],
    out: Path,
    *,
    kinds: Sequence[str] = (),
    cases: int = 1,
    jobs: int = 1,
    rate: float = 25.0,
    give_up_seconds: float = GIVE_UP_SECONDS,
    say: Say = print,
) -> list[CaseFile]:
    """Play what is not yet in ``out`` (a case file that is there is kept), ``jobs`` fleets at a time; every case file.

    A case that breaks (the fleet does not start, say) is written with its error, and tried again by the next call.
    """
    out.mkdir(parents=True, exist_ok=True)
    todo: asyncio.Queue[Wanted] = asyncio.Queue()
    there = {path.name for path in out.glob("case-*.json") if not _broken(path)}
    everything = wanted(seeds, kinds, cases)
    for one in everything:
        if one.file_name not in there:
            todo.put_nowait(one)
    total = todo.qsize()
    say(f"{total} cases to play, {len(everything) - total} already there")
    workers = [asyncio.create_task(_worker(todo, total, out, rate, give_up_seconds, say)) for _ in range(max(1, jobs))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return read_cases(out)


def _broken(path: Path) -> bool:
    try:
        return bool(msgspec.json.decode(path.read_bytes(), type=CaseFile).error)
    except (OSError, msgspec.MsgspecError):
        return True


async def _worker(
    todo: asyncio.Queue[Wanted], total: int, out: Path, rate: float, give_up_seconds: float, say: Say
) -> None:
    """Plays cases on one fleet after the other; a fleet that is not healthy after a reset is replaced."""
    bench: Bench | None = None
    try:
        while not todo.empty():
            one = todo.get_nowait()
            begun = time.time()
            try:
                if bench is None:
                    bench = await Bench.open(one.seed, rate)
                file = await bench.play(one, give_up_seconds)
            except (FleetError, DarkError, WatchError, ActuatorError, LookupError, OSError) as error:
                empty = Case(one.seed, one.number, named(one.fault).draw_nothing())
                file = CaseFile(
                    empty, Score(), begun, time.time(), versions(), f"{type(error).__name__}: {error}"[:500]
                )
                if bench is not None:
                    await bench.close()
                    bench = None
            _write(out / one.file_name, file)
            say(f"[{total - todo.qsize()}/{total}] {_line(file)}")
    finally:
        if bench is not None:
            await bench.close()


def _write(path: Path, file: CaseFile) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")
    fresh.replace(path)


def _line(file: CaseFile) -> str:
    s, name = file.score, file.case.name
    if file.error:
        return f"{name}: could not be played: {file.error[:120]}"
    if not file.case.truth.harmful:
        return f"{name}: {s.incidents} incidents, {s.pages} pages, {s.actions} actions"
    if s.harm_after_seconds is None:
        return f"{name} {file.case.truth.entity}: nobody felt it"
    found = "missed" if s.detect_seconds is None else f"detected in {s.detect_seconds:.0f} s"
    rank = "not ranked" if s.cause_rank is None else f"cause at {s.cause_rank}"
    back = "not recovered" if s.recover_seconds is None else f"recovered in {s.recover_seconds:.0f} s"
    return f"{name} {file.case.truth.entity}: {found}, {rank}, {'right fix' if s.right_fix else 'no fix'}, {back}"


class Bench:
    """One fleet with a port for the watch, used for one case after the other."""

    def __init__(self, work: Path, fleet: Fleet, port: int, known: Map) -> None:
        self.work, self.fleet, self.port, self.known = work, fleet, port, known
        self.witness = Witness(fleet)
        self.played = 0

    @classmethod
    async def open(cls, seed: int, rate: float) -> Bench:
        work = Path(tempfile.mkdtemp(prefix="midwatch-gym-"))
        work.chmod(0o711)  # as root the fleet becomes another user, who must be able to enter
        port = free_port()
        fleet = Fleet(work / "fleet", f"http://127.0.0.1:{port}", rate=rate, seed=seed)
        try:
            await fleet.start()
            known = Map.read(await fleet.dark.call("targets"))
        except BaseException:
            await fleet.stop()
            shutil.rmtree(work, ignore_errors=True)
            raise
        return cls(work, fleet, port, known)

    async def close(self) -> None:
        await self.fleet.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    async def play(self, one: Wanted, give_up_seconds: float) -> CaseFile:
        """One case, from a reset and healthy fleet to the verdict."""
        fault = named(one.fault)
        case = draw_case(one.seed, one.number, fault, self.known, watch_seconds=give_up_seconds)
        await self._healthy()
        self.played += 1
        await fault.prepare(self.fleet, case.truth)
        await self.witness.settled()
        watch = WatchProcess(self.work / f"watch-{self.played}", self.fleet.directory, otlp_port=self.port)
        await watch.start()
        routine: asyncio.Task[None] | None = None
        try:
            started = time.time()
            planned = started + case.normal_seconds
            routine = asyncio.create_task(background.play(self.fleet, case.routines, planned))
            await self.witness.watch(max(0.0, planned - time.time()))
            injected = time.time()
            await fault.inject(self.fleet, case.truth)
            case = replace(case, truth=replace(case.truth, injected_at=injected))
            ended = await self._until_over(case, watch, give_up_seconds)
            requests = self.requests(started)
            events = watch.events()
        finally:
            if routine is not None:
                routine.cancel()
                await asyncio.gather(routine, return_exceptions=True)
            await watch.stop()
            await self.fleet.dark.call("clear")
        found = judge(case.truth, requests, events, start_at=started, end_at=ended)
        return CaseFile(case, found, started, ended, versions())

    async def _until_over(self, case: Case, watch: WatchProcess, give_up_seconds: float) -> float:
        """Wait for two minutes in target after the harm, or for the time to give up; when that was."""
        injected = case.truth.injected_at
        give_up = injected + (give_up_seconds if case.truth.harmful else CONTROL_SECONDS)
        while (now := time.time()) < give_up:
            await self.witness.watch(min(5.0, give_up - now))
            if not watch.running:
                raise WatchError(f"midwatch ended by itself: {last_words(watch.log_path)}")
            if not case.truth.harmful or time.time() < injected + RECOVERED_SECONDS:
                continue
            requests = self.requests(injected)
            harm = first_harm(requests, injected)
            if harm is not None and recovered_at(requests, harm, time.time() - 3.0) is not None:
                break
        return time.time()

    async def _healthy(self) -> None:
        """Put everything back and wait until users are served well. Raises FleetError when that does not come."""
        await put_back(self.fleet, self.known.regions)
        self.witness.forget()
        await self.witness.settled()

    def requests(self, since_at: float) -> list[Request]:
        return self.witness.requests(since_at)


def write_page(out: Path, files: Sequence[CaseFile], command: str) -> Path:
    """Write ``gym.md`` beside (or into) ``out``; its path."""
    target = out / "gym.md"
    target.write_text(page(files, command=command, date=time.strftime("%Y-%m-%d", time.gmtime())), "utf-8")
    return target
