"""Effects: what the journal ordered is carried out here, and what became of it is journaled.

Intent comes first (the loop's ActionOrdered and PageOrdered are in the journal before this module hears of them), so a
crash at any moment leaves either no effect or an order without an end, which ``reconcile`` settles at the next start:
pages are sent again under the same key, actions are never repeated; the actuator is asked what is true instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from midwatch.adapters.channels.redact import redact
from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.errors import ActuatorError, Busy, ChannelError, InDoubt
from midwatch.model.events import ActionEnded, ActionOrdered, Event, PageEnded, PageOrdered, WarRoomEnded
from midwatch.model.ports import Actuator, Channel
from midwatch.model.state import State
from midwatch.shell.following import Following, hand_over
from midwatch.shell.war_rooms import WarRooms

log = logging.getLogger("midwatch.effects")


_COUNTED = {"delivered": "pages", "withdrawn": "pages_withdrawn"}
Held = Callable[[float], bool]
"""``held(margin_seconds)``: does the lease last that much longer, judged on this machine's monotonic clock?"""


@dataclass(frozen=True)
class Limits:
    """Every bound of the effects, in one place."""

    actions_at_once: int = 2
    pages_at_once: int = 8
    max_waiting_pages: int = 5000  # some kilobytes each
    page_attempts: int = 5
    page_timeout_seconds: float = 15.0
    page_backoff_seconds: float = 1.0  # doubled per attempt
    max_retry_after_seconds: float = 60.0
    max_queued_seconds: float = 900.0  # in a channel's own queue, before that counts as a failure
    lease_margin_seconds: float = 2.0
    lease_covers_effects: bool = True  # else whoever takes over waits out the longest one
    observe_after_seconds: tuple[float, ...] = (1.0, 4.0, 15.0)  # an action in doubt is asked about so often
    late_seconds: float = 8.0  # so long may a request of a process that died still be on its way

    @staticmethod
    def of_replicas() -> Limits:
        """A short lease lets a standby take over soon; an effect that was begun under it may end after it."""
        return Limits(lease_margin_seconds=0.5, lease_covers_effects=False)


class Hands:
    """Several actuators as one, dispatched by verb. A verb that two of them declare is a mistake in the set-up."""

    def __init__(self, actuators: Iterable[Actuator]) -> None:
        self._by_verb: dict[str, Actuator] = {}
        self._verbs: dict[str, VerbSpec] = {}
        for actuator in actuators:
            for verb, spec in actuator.verbs.items():
                if verb in self._by_verb:
                    raise ActuatorError(f"two actuators declare the verb {verb}", hint="configure only one of them")
                self._by_verb[verb], self._verbs[verb] = actuator, spec

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return self._verbs

    async def apply(self, action: Action) -> Outcome:
        return await self._actuator(action).apply(action)

    async def observe(self, action: Action) -> Outcome:
        return await self._actuator(action).observe(action)

    def _actuator(self, action: Action) -> Actuator:
        found = self._by_verb.get(action.verb)
        if found is None:
            raise ActuatorError(f"nothing here can {action.verb}")
        return found


class _Unwanted(Exception):
    """Nobody needs the page any more, and why."""


class Effects:
    """Carries out orders with bounded concurrency; ``record`` journals an outcome (and is never allowed to raise)."""

    def __init__(
        self,
        *,
        hands: Actuator,
        channels: Mapping[str, Channel],
        record: Callable[[Event], Awaitable[None]],
        state: Callable[[], State],
        hands_off_file: Path,
        halted_by: Callable[[], str] = lambda: "",
        unwanted: Callable[[PageOrdered], str] = lambda _: "",
        trouble: Callable[[str, str], object] = lambda _part, _why: None,
        held: Held = lambda _: True,
        renew: Callable[[], Awaitable[object]] | None = None,
        limits: Limits | None = None,
        crash_point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._hands, self._channels = hands, dict(channels)
        self._record, self._state = record, state
        self._hands_off_file, self._halted_by, self._unwanted = hands_off_file, halted_by, unwanted
        self._trouble = trouble
        self._held, self._renew = held, renew
        self.limits = limits or Limits()
        self._crash_point = crash_point
        self._acts_at = 0.0  # on the monotonic clock
        self._action_slots = asyncio.Semaphore(self.limits.actions_at_once)
        # Each channel has its own: one that hangs holds up nobody who is reached over another.
        self._page_slots = {name: asyncio.Semaphore(self.limits.pages_at_once) for name in self._channels}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pages_in_flight: dict[str, list[str]] = {}  # by key: the pages in the journal that wait for its end
        self.following = Following(self._channels, state, self._start)
        self.war_rooms = WarRooms(self._channels, state, self._room_ended, self._start, trouble, self._leads)
        self.counters = dict.fromkeys(
            ("actions", "actions_stopped", *_COUNTED.values(), "pages_failed", "page_retries"), 0
        )

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    def carry_out(self, events: Sequence[Event]) -> None:
        """Start whatever ``events`` (journaled already) order. Returns at once."""
        for event in events:
            if isinstance(event, ActionOrdered):
                self._start(self._act(event.action_id))
            elif isinstance(event, PageOrdered):
                self._send(event)
        self.following.hear(events)
        self.war_rooms.hear(events)

    def page_anyway(self, order: PageOrdered) -> None:
        """Send a page whose order could not be journaled: paging comes before bookkeeping. Its number may be another page's
        in the journal, so nothing is written down of its end."""
        self._send(order, journaled=False)

    def reconcile(self, state: State) -> None:
        """Settle what an earlier process left without an end."""
        for record in state.pages.values():
            if record.status == "ordered":
                self._send(record.ordered)
        for action_record in state.actions.values():
            if action_record.status in ("ordered", "in_doubt"):
                self._start(
                    self._ask(action_record.action, late_seconds=max(self.limits.late_seconds, self.waits_out_seconds))
                )
        self.following.show_again(state)
        self.war_rooms.reconcile()

    async def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait until nothing is under way; False when time ran out first."""
        while self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=timeout_seconds)
            if pending and timeout_seconds is not None:
                return False
        return True

    async def cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- actions --

    def _why_not(self, action: Action) -> str:
        """The last look before the effect: why it must not happen, or "" when it may."""
        state = self._state()
        if state.hands_off or self._halted_by():
            return f"hands off (by {state.hands_off_by or self._halted_by() or 'a person'}): nothing was touched"
        try:
            stopped = self._hands_off_file.exists()
        except OSError:
            return "the HANDS-OFF file cannot be looked for: nothing was touched"
        if stopped:
            return "hands off (the HANDS-OFF file is there): nothing was touched"
        if not self._held(self._margin(action)):
            return "the lease may end before the effect does: nothing was touched"
        return ""

    def _margin(self, action: Action) -> float:
        longest = action.timeout_seconds if self.limits.lease_covers_effects else 0.0
        return longest + self.limits.lease_margin_seconds

    async def _renewed(self, margin_seconds: float) -> None:
        if self._renew is not None and not self._held(margin_seconds):
            await self._renew()  # a lease that is merely half spent is no reason to refuse

    async def _leads(self) -> bool:
        await self._renewed(self.limits.lease_margin_seconds)
        return self._held(self.limits.lease_margin_seconds)

    def wait_out(self, seconds: float) -> None:
        """Begin no action for so long, and believe for so long of none that it did not take effect: a leader that may live
        still could have begun one when it last held the lease. Pages do not wait."""
        self._acts_at = time.monotonic() + seconds

    @property
    def waits_out_seconds(self) -> float:
        return max(0.0, self._acts_at - time.monotonic())

    async def _waited_out(self) -> None:
        """Returns when ``wait_out`` has no objection any more, also when it was called again meanwhile."""
        while True:
            left = self.waits_out_seconds
            if not left:
                return
            await asyncio.sleep(min(left, 0.5))

    async def _act(self, action_id: str) -> None:
        async with self._action_slots:
            record = self._state().actions.get(action_id)
            if record is None or record.status != "ordered":
                return
            action = record.action
            await self._waited_out()
            await self._renewed(self._margin(action))
            if stop := self._why_not(action):
                self.counters["actions_stopped"] += 1
                await self._record(ActionEnded(action_id, Outcome("failed", stop, untouched=True)))
                return
            self.counters["actions"] += 1
            self._crash_point("before_effect")
            outcome = await self._apply(action)
            self._crash_point("after_effect")
        await self._record(ActionEnded(action_id, outcome))
        if outcome.status == "in_doubt":
            await self._ask(action)

    async def _apply(self, action: Action) -> Outcome:
        """Once. A timeout or an unknown error leaves it in doubt: the request may have got through."""
        try:
            outcome = await asyncio.wait_for(self._hands.apply(action), action.timeout_seconds)
        except TimeoutError:
            return Outcome("in_doubt", f"no answer within {action.timeout_seconds:g} s")
        except InDoubt as error:
            return Outcome("in_doubt", redact(str(error)))
        except ActuatorError as error:
            return Outcome("failed", redact(str(error)))
        except Exception as error:  # whatever an actuator raises, the watch goes on
            log.exception("the actuator broke on %s", action.verb)
            return Outcome("in_doubt", f"the actuator broke: {type(error).__name__}")
        return Outcome(outcome.status, redact(outcome.result), outcome.undo_parameters)

    async def _ask(self, action: Action, late_seconds: float = 0.0) -> None:
        """Ask what is true now, a bounded number of times, and journal the first clear answer (or that there is none).

        "It did not take effect" is believed only after ``late_seconds``: a dead process's request may still arrive.
        """
        answer = await self._answer(action)
        if answer.status == "failed" and late_seconds:
            await asyncio.sleep(late_seconds)
            answer = await self._answer(action)
        record = self._state().actions.get(action.id)
        if record is None or record.status not in ("ordered", "in_doubt"):
            return
        if record.status == "in_doubt" and answer.status == "in_doubt":
            return  # nothing new to write down
        # A request that was seen to leave may still arrive: only an order whose process died counts as not tried.
        untouched = answer.untouched and record.status == "ordered"
        outcome = Outcome(answer.status, redact(answer.result), answer.undo_parameters, untouched)
        await self._record(ActionEnded(action.id, outcome, reconciled=True))

    async def _answer(self, action: Action) -> Outcome:
        answer = Outcome("in_doubt", "the actuator cannot tell")
        for wait in (0.0, *self.limits.observe_after_seconds):
            await asyncio.sleep(wait)
            try:
                answer = await asyncio.wait_for(self._hands.observe(action), action.timeout_seconds)
            except TimeoutError:
                answer = Outcome("in_doubt", "no answer when asked what is true")
            except Exception as error:
                if not isinstance(error, ActuatorError):
                    log.exception("the actuator broke when asked about %s", action.verb)
                answer = Outcome("in_doubt", redact(str(error) or type(error).__name__))
            if answer.status != "in_doubt":
                break
        return answer

    # -- pages --

    def _send(self, order: PageOrdered, journaled: bool = True) -> None:
        if (waiting := self._pages_in_flight.get(order.key)) is not None:
            if journaled and order.page not in waiting:
                waiting.append(order.page)
            return
        if len(self._pages_in_flight) >= self.limits.max_waiting_pages:
            self.counters["pages_failed"] += 1
            if journaled:
                self._start(self._end(PageEnded(order.page, "failed", "too many pages are waiting", 0)))
            return
        self._pages_in_flight[order.key] = [order.page] if journaled else []
        self._start(self._page(order))

    async def _page(self, order: PageOrdered) -> None:
        waiting = self._pages_in_flight[order.key]
        try:
            async with self._page_slots.get(order.channel, contextlib.nullcontext()):
                self._crash_point("before_effect")
                end = await self._hand_over(order)
                self._crash_point("after_effect")
            self.counters[_COUNTED.get(end.status, "pages_failed")] += 1
            while waiting:  # ordered once more under the same key meanwhile: that was it
                await self._end(replace(end, page=waiting.pop(0)))
        finally:
            del self._pages_in_flight[order.key]

    async def _hand_over(self, order: PageOrdered) -> PageEnded:
        """What became of the page. Receivers dedupe by key, so trying again is safe."""
        channel = self._channels.get(order.channel)
        if channel is None:
            return PageEnded(order.page, "failed", f"no channel is called {order.channel!r}", 0)
        why, attempt, queued = "", 1, 0.0
        while attempt <= self.limits.page_attempts:
            wait = self.limits.page_backoff_seconds * 2 ** (attempt - 1)
            try:
                place = await asyncio.wait_for(self._leave(channel, order), self.limits.page_timeout_seconds)
                self._trouble(f"channel {order.channel}", "")
                return PageEnded(order.page, "delivered", "", attempt, place)
            except _Unwanted as stale:
                return PageEnded(order.page, "withdrawn", str(stale), attempt - 1)
            except TimeoutError:
                why = f"no answer within {self.limits.page_timeout_seconds:g} s"
            except Busy as error:
                why, wait = str(error), min(error.retry_after_seconds or 1.0, self.limits.max_retry_after_seconds)
                if queued < self.limits.max_queued_seconds:  # nothing was tried
                    queued += wait
                    await asyncio.sleep(wait)
                    continue
            except ChannelError as error:
                why = redact(str(error))
                if error.retry_after_seconds is None:
                    self._trouble(f"channel {order.channel}", f"the channel {order.channel} refuses a page: {why}")
                    return PageEnded(order.page, "failed", why, attempt)
                wait = max(error.retry_after_seconds, 0.0)
            except Exception as error:
                log.exception("the channel %s broke", order.channel)
                why = f"the channel broke: {type(error).__name__}"
            self._trouble(f"channel {order.channel}", f"the channel {order.channel} takes no page: {why}")
            if attempt < self.limits.page_attempts:
                self.counters["page_retries"] += 1
                await asyncio.sleep(min(wait, self.limits.max_retry_after_seconds))
            attempt += 1
        return PageEnded(order.page, "failed", why, self.limits.page_attempts)

    async def _leave(self, channel: Channel, order: PageOrdered) -> str:
        """The last look whether anybody needs it lies right before it leaves: nothing of this process comes in between."""
        if stale := self._unwanted(order):
            raise _Unwanted(stale)
        return await hand_over(channel, order, self._state())

    async def _room_ended(self, end: WarRoomEnded) -> None:
        await self._record(end)
        self.following.hear([end])

    async def _end(self, end: PageEnded) -> None:
        await self._record(end)
        self.following.hear([end])

    # -- tasks --

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an effect ended badly: %s", type(error).__name__, exc_info=error)
