"""Lives of a watch in processes of their own, each killed by itself with SIGKILL at a given append, over one journal."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

from msgspec.structs import replace
from tests.shell.conftest import RecordingHands, make_settings

from midwatch.model.alerts import Alert
from midwatch.model.events import RoleTaken
from midwatch.model.policy import PagePolicy, Policy
from midwatch.model.state import State
from midwatch.model.war_room import WarRoomPolicy
from midwatch.shell.channels import build_channels
from midwatch.shell.config import Settings
from midwatch.shell.crash import CRASH_VARIABLE
from midwatch.shell.journal.sqlite import open_readonly
from midwatch.shell.run import Watch

POLICY = Policy(
    paging=PagePolicy(("team",), repeat_seconds=3600.0),
    resolve_after_seconds=0.2,
    war_room=WarRoomPolicy("team", 2, archive_seconds=0.2),
)
DOWN = Alert("prom:1", "prom", "firing", 0.0, 0.0, 2, "PaymentDown", "payment is down", "service:payment")
LIFE_SECONDS = 90.0  # however busy the machine is
_LIVES = multiprocessing.get_context("forkserver")  # a process of its own forks them: this one has threads
_LIVES.set_forkserver_preload(["tests.shell.war_room_lives"])


def settings_of(folder: Path, api_url: str, conversation: str) -> Settings:
    team = {"type": "slack", "token": "env:SLACK_TOKEN", "channel": conversation, "people": {"U0ANA": "ana"}}
    return make_settings(folder, channels={"team": {**team, "api_url": api_url}}, tick_seconds=0.1)


def live(settings: Settings, crash_at: str) -> bool:
    """One life: towards the end of the incident's room, or to the given point. True when it got to the end."""
    life = _LIVES.Process(target=_lived, args=(settings, crash_at, os.environ["SLACK_TOKEN"]), daemon=True)
    life.start()
    life.join(LIFE_SECONDS)
    if life.exitcode is None:
        life.kill()
        life.join()
        raise AssertionError("a life took too long")
    assert life.exitcode in (0, -signal.SIGKILL), f"a life ended by itself: {life.exitcode}"
    return life.exitcode == 0


def _lived(settings: Settings, crash_at: str, token: str) -> None:
    os.environ[CRASH_VARIABLE], os.environ["SLACK_TOKEN"] = crash_at, token
    asyncio.run(_to_the_end(settings))


async def _to_the_end(settings: Settings) -> None:
    watch = Watch(settings, channels=build_channels(settings), actuators=[RecordingHands()], policy=POLICY)
    await watch.start()
    running = asyncio.create_task(watch.run())
    while True:
        state = watch.state
        room = state.war_rooms.get("INC-1")
        now = watch.now()
        if not state.incidents:
            await watch.take_alerts("prom", [replace(DOWN, at=now, since_at=now)])
        elif room is not None and room.status == "closed":
            break
        elif "INC-1" not in state.rooms:
            async with watch.books.turn:
                await watch.books.append([RoleTaken("INC-1", "commander", "ana", "bo")], now)
        elif room is not None and room.summary and room.invited.get("ana") == "in" and state.alerts["prom:1"].firing:
            await watch.take_alerts("prom", [replace(DOWN, at=now, state="resolved")])
        await asyncio.sleep(0.02)
    watch.request_stop()
    await running
    await watch.stop()


def told(settings: Settings) -> State:
    journal = open_readonly(settings.journal_file)
    try:
        assert journal.verify().ok
        return journal.load_state()
    finally:
        journal.close()
