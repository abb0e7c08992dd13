"""Channels that keep a place for each incident hear between pages how it goes on.

Nothing here is owed: what must reach a person is a page, and pages are journaled. So what waits for the same place is put
together, a failure is tried a few times and then counted, and after a restart each open place is shown once as it stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from midwatch.adapters.channels.redact import redact
from midwatch.core.oncall.standing import beside_page, standing, told
from midwatch.model.errors import Busy, ChannelError, ConfigError
from midwatch.model.events import Event, PageEnded, PageOrdered
from midwatch.model.ports import Channel, Follower
from midwatch.model.standing import Standing
from midwatch.model.state import State
from midwatch.shell.config import resolve

log = logging.getLogger("midwatch.effects")

ATTEMPTS: Final = 4
TIMEOUT_SECONDS: Final = 15.0
BACKOFF_SECONDS: Final = 2.0
MAX_RETRY_AFTER_SECONDS: Final = 120.0
MAX_QUEUED_SECONDS: Final = 900.0  # in a channel's own queue, before that counts as a failure
MAX_WAITING: Final = 200
MAX_HAPPENED: Final = 20

_Key = tuple[str, str, str]
"""Channel, incident, and where the channel finds the person ("" where it leads to one place only)."""


def place_of(state: State, incident: str, channel: str, to: str = "") -> str:
    """Where ``channel`` keeps the incident for whoever it finds at ``to``: the place of the first page there that has
    one, "" when none has."""
    found = [p for p in state.pages_of(incident) if (p.ordered.channel, p.ordered.to) == (channel, to) and p.place]
    return min(found, key=lambda p: p.ordered_at).place if found else ""


def addressed(order: PageOrdered) -> PageOrdered:
    """The page with its person's address in it, looked up as it is sent: the journal holds the reference. Raises
    ChannelError when it cannot be looked up now."""
    try:
        return replace(order, to=resolve(order.to))
    except ConfigError as error:
        raise ChannelError(
            f"the address of {order.person}: {error}", retry_after_seconds=5.0, hint=error.hint
        ) from error


async def hand_over(channel: Channel, order: PageOrdered, state: State) -> str:
    """Send the page; the place that the channel keeps for the incident, "" for one that keeps none. Raises ChannelError."""
    page = await asyncio.to_thread(addressed, order) if order.to else order  # a command may be asked for it
    if not isinstance(channel, Follower):
        await channel.send(page)
        return ""
    incident = state.incidents.get(order.incident)
    shown = (
        standing(state, incident)
        if incident is not None
        else Standing(order.incident, order.severity, order.subject, order.text, "")
    )
    return await channel.page(page, shown, place_of(state, order.incident, order.channel, order.to))


class Following:
    """``start`` runs a task that the owner waits for and cancels."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        state: Callable[[], State],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._followers = {name: one for name, one in channels.items() if isinstance(one, Follower)}
        self._state, self._start = state, start
        self._waiting: dict[_Key, Standing] = {}
        self._busy: set[_Key] = set()
        self.counters = {"followed": 0, "follow_failed": 0}

    def hear(self, events: Sequence[Event]) -> None:
        """What was just journaled, and folded into state. Returns at once."""
        if not self._followers:
            return
        state = self._state()
        orders = (event for event in events if isinstance(event, PageOrdered))
        paged = {(order.channel, order.incident, order.to) for order in orders}
        beside = told(state, beside_page(events)) if paged else {}
        for ident, happened in told(state, events).items():
            for key in self._keys(state, ident):
                if key not in paged:
                    self._put(state, key, happened)
                elif ident in beside or key in self._busy or key in self._waiting:  # or older news would be shown last
                    self._put(state, key, beside.get(ident, ()))
        for event in events:  # what happened while the first page was on its way waited for its place
            if isinstance(event, PageEnded) and (record := state.pages.get(event.page)) is not None:
                self._wake((record.ordered.channel, record.ordered.incident, record.ordered.to))

    def show_again(self, state: State) -> None:
        """After a restart: each place of an incident that is open, as it stands."""
        for incident in state.open_incidents:
            for key in self._keys(state, incident.id):
                self._put(state, key, ())

    def _keys(self, state: State, ident: str) -> set[_Key]:
        ordered = (p.ordered for p in state.pages_of(ident))
        return {(o.channel, o.incident, o.to) for o in ordered if o.channel in self._followers}

    def _put(self, state: State, key: _Key, happened: tuple[str, ...]) -> None:
        before = self._waiting.get(key)
        if before is None and len(self._waiting) >= MAX_WAITING:
            self.counters["follow_failed"] += 1
            return
        news = ((before.happened if before else ()) + happened)[-MAX_HAPPENED:]
        self._waiting[key] = standing(state, state.incidents[key[1]], news)
        self._wake(key)

    def _wake(self, key: _Key) -> None:
        if key in self._waiting and key not in self._busy:
            self._busy.add(key)
            self._start(self._follow(key))

    async def _follow(self, key: _Key) -> None:
        name, ident, to = key
        try:
            while key in self._waiting:
                place = place_of(self._state(), ident, name, to)
                if not place:
                    pages = (
                        p for p in self._state().pages_of(ident) if (p.ordered.channel, p.ordered.to) == (name, to)
                    )
                    if not any(p.status == "ordered" for p in pages):
                        del self._waiting[key]  # no page got there: there is nothing to show it at
                    return
                await self._say(key, place, self._waiting.pop(key))
        finally:
            self._busy.discard(key)

    async def _say(self, key: _Key, place: str, shown: Standing) -> None:
        name = key[0]
        why = ""
        attempt, queued = 0, 0.0
        while attempt < ATTEMPTS:
            wait = BACKOFF_SECONDS * 2**attempt
            try:
                await asyncio.wait_for(self._followers[name].follow(shown, place), TIMEOUT_SECONDS)
                self.counters["followed"] += 1
                return
            except TimeoutError:
                why = f"no answer within {TIMEOUT_SECONDS:g} s"
            except Busy as error:
                why, wait = str(error), min(error.retry_after_seconds or 1.0, MAX_RETRY_AFTER_SECONDS)
                queued += wait
                attempt -= queued < MAX_QUEUED_SECONDS  # nothing was tried
            except ChannelError as error:
                why = redact(str(error))
                if error.retry_after_seconds is None:
                    break
                wait = max(error.retry_after_seconds, 0.0)
            except Exception as error:
                log.exception("the channel %s broke", name)
                why = f"the channel broke: {type(error).__name__}"
                break
            attempt += 1
            if attempt < ATTEMPTS:
                await asyncio.sleep(min(wait, MAX_RETRY_AFTER_SECONDS))
                newer = self._waiting.pop(key, None)
                if newer is not None:
                    shown = replace(newer, happened=(shown.happened + newer.happened)[-MAX_HAPPENED:])
        self.counters["follow_failed"] += 1
        log.warning("%s does not show how %s stands: %s", name, shown.incident, why)
