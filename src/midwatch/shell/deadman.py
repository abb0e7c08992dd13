"""The dead man: a small process elsewhere that the watch calls, and that pages when it falls silent.

Silence is counted while this process runs, and kept in a file: a restart neither forgets it nor takes its own downtime for
the watch's. Heads of the hash chain are kept too, so a journal that was cut or rewritten is noticed here and now.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from midwatch.model.errors import ChannelError, ConfigError
from midwatch.model.events import PageOrdered
from midwatch.model.ports import Channel

log = logging.getLogger("midwatch.deadman")

STATE_FILE: Final = "deadman.json"
MAX_HEADS: Final = 1000
FAILED_REPEAT_SECONDS: Final = 15.0


class Known(msgspec.Struct, frozen=True):
    """One head of the watch's journal, as it was called in."""

    seq: int
    hash: str
    at: float


class Beat(msgspec.Struct, frozen=True):
    """What a watch calls in (``health.beat``); a call of something else may leave all of it out."""

    seq: int = 0
    hash: str = ""
    at: float = 0.0
    last_tick_at: float = 0.0
    open_incidents: int = 0
    troubles: tuple[str, ...] = ()


class Alarm(msgspec.Struct, frozen=True):
    """``key`` is what receivers dedupe by; ``sent`` counts the pages, the last at ``paged_at`` (unix seconds)."""

    key: str
    why: str
    since_at: float
    sent: int = 0
    paged_at: float = 0.0


class Kept(msgspec.Struct, frozen=True):
    """What outlives a restart. ``unheard_seconds``: how long nothing was heard while this process ran."""

    unheard_seconds: float = 0.0
    heard_at: float = 0.0
    last: Beat = Beat()
    heads: tuple[Known, ...] = ()
    alarm: Alarm | None = None
    alarms: int = 0


class Deadman:
    """``heard`` takes a call, ``look`` is called again and again and pages. ``wall`` is for people, ``monotonic`` to count.

    ``patience_seconds``: so long may the watch be silent. ``repeat_seconds``: how often the page goes out again."""

    def __init__(
        self,
        folder: Path,
        channels: Sequence[Channel],
        *,
        patience_seconds: float = 180.0,
        repeat_seconds: float = 900.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._channels = folder / STATE_FILE, channels
        self._patience, self._repeat = patience_seconds, repeat_seconds
        self._wall, self._monotonic = wall, monotonic
        self._looked_at = monotonic()
        self.kept = self._load()

    def _load(self) -> Kept:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(
                f"cannot be read: {error}", path=str(self._file), hint="move it away to begin without a memory"
            ) from error

    def _keep(self, **changes: Any) -> None:
        """Raises OSError never: a full disk must not keep anybody from being paged."""
        self.kept = msgspec.structs.replace(self.kept, **changes)
        fresh = self._file.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(msgspec.json.encode(self.kept))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError as error:
            log.error("%s cannot be written: %s; a restart would forget", self._file, error.strerror)

    async def heard(self, body: bytes) -> None:
        """The watch called. What it says is believed only as far as it has the right form."""
        try:
            beat = msgspec.json.decode(body, type=Beat) if body.strip() else Beat()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            beat = Beat()
        alarm, wrong = self.kept.alarm, self._wrong(beat)
        heads = self.kept.heads
        if beat.seq > 0 and not wrong and (not heads or beat.seq > heads[-1].seq):
            heads = _thinned((*heads, Known(beat.seq, beat.hash, beat.at)))
        self._keep(unheard_seconds=0.0, heard_at=self._wall(), last=beat, heads=heads)
        if wrong:
            self._raise(wrong)
        elif alarm is not None:
            self._keep(alarm=None)
            await self._tell(
                alarm, f"The watch is heard again, {self._ago(alarm.since_at)} after the alarm.", over=True
            )

    def _wrong(self, beat: Beat) -> str:
        """What a call itself says is wrong; "" when nothing."""
        heads = {one.seq: one.hash for one in self.kept.heads}
        if heads and 0 < beat.seq < max(heads) and beat.seq not in heads:
            return f"The watch's journal is shorter than it was: it ended at entry {max(heads)}, now at {beat.seq}."
        if beat.seq in heads and (heads[beat.seq] != beat.hash or beat.seq < max(heads)):
            return (
                f"The watch's journal was cut or rewritten: it ends at entry {beat.seq}, which was another one before."
            )
        stuck = beat.at - beat.last_tick_at
        if beat.last_tick_at and stuck > self._patience:
            return f"The watch calls, but its loop has not turned for {stuck:.0f} s: nobody is paged by it."
        return ""

    async def look(self) -> None:
        """Count the silence, and page when it is due."""
        now = self._monotonic()
        elapsed, self._looked_at = now - self._looked_at, now
        self._keep(unheard_seconds=self.kept.unheard_seconds + elapsed)
        if self.kept.alarm is None and self.kept.unheard_seconds > self._patience:
            last = self.kept.last
            when = f"last heard {self._ago(self.kept.heard_at)} ago" if self.kept.heard_at else "it never called"
            then = f", with {last.open_incidents} incidents open" if last.open_incidents else ""
            self._raise(f"The watch is silent ({when}{then}): look at it, nobody else pages for it now.")
        alarm = self.kept.alarm
        if alarm is not None and self._wall() - alarm.paged_at >= (
            self._repeat if alarm.sent else FAILED_REPEAT_SECONDS
        ):
            delivered = await self._tell(alarm, alarm.why)
            if self.kept.alarm is not None and self.kept.alarm.key == alarm.key:  # it may be over by now
                self._keep(
                    alarm=msgspec.structs.replace(alarm, paged_at=self._wall(), sent=alarm.sent + bool(delivered))
                )

    def _raise(self, why: str) -> None:
        if self.kept.alarm is not None and self.kept.alarm.why == why:
            return
        number = self.kept.alarms + 1
        log.warning("%s", why)
        self._keep(alarms=number, alarm=Alarm(f"deadman/{number}", why, self._wall()))

    async def _tell(self, alarm: Alarm, text: str, over: bool = False) -> int:
        """On every channel; how many took it."""
        page = PageOrdered(
            page=f"DEADMAN-{self.kept.alarms}",
            incident="deadman",
            key=f"{alarm.key}/over" if over else f"{alarm.key}/{alarm.sent}",
            channel="",
            subject="midwatch is heard again" if over else "midwatch may be dead",
            text=text,
            severity=4 if over else 1,
            repeat=alarm.sent,
            topics=("resolved",) if over else ("silent",),
        )
        taken = 0
        for channel in self._channels:
            try:
                await channel.send(msgspec.structs.replace(page, channel=channel.name))
                taken += 1
            except ChannelError as error:
                log.error("the channel %s did not take the alarm: %s", channel.name, error)
            except Exception as error:
                log.error("the channel %s broke: %s", channel.name, type(error).__name__)
        return taken

    def _ago(self, at: float) -> str:
        return f"{max(0.0, self._wall() - at):.0f} s"

    def status(self) -> Mapping[str, Any]:
        """For ``/healthz``: nothing that is a secret."""
        alarm = self.kept.alarm
        return {
            "ok": alarm is None,
            "why": alarm.why if alarm else "",
            "unheard_seconds": round(self.kept.unheard_seconds + self._monotonic() - self._looked_at, 1),
            "seq": self.kept.last.seq,
        }


def _thinned(heads: tuple[Known, ...]) -> tuple[Known, ...]:
    """Bounded: of the older half every other one goes."""
    if len(heads) <= MAX_HEADS:
        return heads
    half = len(heads) // 2
    return (*heads[:half:2], *heads[half:])
