"""The conformance kit: what any channel, actuator and source must honour, for connectors of ours and of others.

Each function takes the connector (or what builds one) and raises AssertionError with a sentence when it falls short::

    async def test_my_channel():
        await check_channel_delivers(MyChannel(...), sample_page(), lambda: my_server.received)

They need the real thing, or a real local server that stands in for it: a connector is not proven by a mock of itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from midwatch.model.actions import Action, Outcome, Scalar, VerbSpec
from midwatch.model.entity import ENTITY_KINDS
from midwatch.model.errors import ActuatorError, ChannelError, InDoubt, SourceError
from midwatch.model.events import PageOrdered
from midwatch.model.ports import Actuator, Channel, Source
from midwatch.model.slo import Slo
from midwatch.model.world import SliCounts

MAX_TIMEOUT_SECONDS = 30.0
"""The lease outlasts the longest effect, and a new leader waits it out: an effect must be bounded tightly."""


def sample_page(key: str = "INC-1/sev2/0", **changes: object) -> PageOrdered:
    """A page with everything in it that a channel may stumble over: quotes, umlauts, emoji, new lines."""
    values: dict[str, object] = {
        "page": "PAGE-1",
        "incident": "INC-1",
        "key": key,
        "channel": "test",
        "subject": 'SEV2: elevated errors in payment, "15 %" of transactions',
        "text": "since 09:41; likely cause: connection pool exhausted\nnächster Schritt: resize ✅",
        "severity": 2,
    }
    return PageOrdered(**{**values, **changes})  # type: ignore[arg-type]


def sample_action(verb: str, target: str, key: str = "ACT-1", **parameters: Scalar) -> Action:
    return Action(
        id="ACT-1", key=key, incident="INC-1", playbook="test", verb=verb, target=target, parameters=dict(parameters)
    )


# -- actuators --


def check_declares(verbs: Iterable[VerbSpec], known: Iterable[str] = ()) -> None:
    """Everything that guards rely on is declared: permissions, targets, bounds, undo, radius, time.

    ``known`` are verbs that other actuators declare, so that an undo may live there.
    """
    specs = list(verbs)
    names = {spec.verb for spec in specs} | set(known)
    assert specs, "an actuator without a verb does nothing"
    for spec in specs:
        name = spec.verb
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"{name!r}: a verb is lower case with underscores"
        assert spec.description, f"{name}: says nothing about itself"
        assert spec.permissions, f"{name}: needs no permission, so nobody can withhold it"
        assert spec.targets and set(spec.targets) <= ENTITY_KINDS, f"{name}: unknown target kinds {spec.targets}"
        assert spec.blast_radius >= 1, f"{name}: touches nothing?"
        assert 0 < spec.timeout_seconds <= MAX_TIMEOUT_SECONDS, f"{name}: its timeout is over {MAX_TIMEOUT_SECONDS:g} s"
        assert spec.cost_seconds >= 0, f"{name}: a negative cost"
        if spec.action_class == "reversible":
            assert spec.undo in names, f"{name}: reversible, but its undo {spec.undo!r} is declared nowhere"
        elif spec.action_class == "transient":
            assert not spec.undo, f"{name}: transient means that there is no undo"
            assert 0 < spec.cost_seconds <= 600, f"{name}: transient means a bounded, declared cost"
        for parameter, bounds in spec.parameters.items():
            assert bounds.description, f"{name}.{parameter}: says nothing about itself"
            if bounds.type in ("int", "float") and not bounds.choices:
                assert bounds.minimum is not None and bounds.maximum is not None, f"{name}.{parameter}: unbounded"


async def check_idempotent(
    actuator: Actuator, action: Action, effects: Callable[[], int], *, undo: Action | None = None
) -> Outcome:
    """The same key is carried out once: a second ``apply`` answers the same and changes nothing; ``observe`` says done
    and changes nothing either. ``effects`` counts what really happened outside."""
    before = effects()
    first = await actuator.apply(action)
    assert first.status == "done", f"the first apply: {first}"
    assert effects() == before + 1, f"one apply made {effects() - before} effects"
    again = await actuator.apply(action)
    assert effects() == before + 1, "the same key was carried out twice"
    assert again.status == "done" and again.undo_parameters == first.undo_parameters, f"answered {again}, not {first}"
    seen = await actuator.observe(action)
    assert seen.status == "done", f"observe of what was done says {seen}"
    assert effects() == before + 1, "observe changed something"
    if undo is not None:
        undone = await actuator.apply(undo)
        assert undone.status == "done", f"the undo: {undone}"
    return first


async def check_not_done_is_said(actuator: Actuator, action: Action) -> None:
    """``observe`` of an action that never ran says failed (it did not happen), or in doubt; never done."""
    seen = await actuator.observe(action)
    assert seen.status in ("failed", "in_doubt"), f"observe of what never ran says {seen}"


async def check_refuses(actuator: Actuator, actions: Sequence[Action], effects: Callable[[], int]) -> None:
    """What lies outside the declaration is refused before anything happens."""
    for action in actions:
        before = effects()
        try:
            outcome = await actuator.apply(action)
        except InDoubt as error:
            raise AssertionError(f"{action.verb} {action.target}: in doubt, though nothing may have left") from error
        except ActuatorError:
            outcome = Outcome("failed")
        assert outcome.status == "failed", f"{action.verb} {action.target} {action.parameters}: {outcome}"
        assert effects() == before, f"{action.verb} {action.target}: refused, yet something happened"


async def check_silence_is_doubt(actuator: Actuator, action: Action, within_seconds: float) -> None:
    """No answer after the request left is in doubt (never failed, never done), and comes in time."""
    began = time.monotonic()
    try:
        outcome = await asyncio.wait_for(actuator.apply(action), within_seconds + 1)
    except (InDoubt, TimeoutError):
        outcome = Outcome("in_doubt")
    except ActuatorError as error:
        raise AssertionError(f"silence was taken for a failure: {error}") from error
    assert outcome.status == "in_doubt", f"silence was taken for {outcome}"
    assert time.monotonic() - began <= within_seconds + 0.5, "it waited longer than its timeout"


async def check_unreachable_failed(actuator: Actuator, action: Action) -> None:
    """A refused connection is known to have changed nothing: failed, not in doubt."""
    try:
        outcome = await actuator.apply(action)
    except InDoubt as error:
        raise AssertionError("a refused connection is no doubt: nothing left") from error
    except ActuatorError:
        return
    assert outcome.status == "failed", f"unreachable, yet {outcome}"


# -- channels --


async def check_channel_delivers(channel: Channel, page: PageOrdered, received: Callable[[], list[str]]) -> None:
    """The page arrives with its subject, its text and its key; sent again, it carries the same key."""
    assert channel.name, "a channel needs a name"
    await channel.send(page)
    await channel.send(page)
    got = received()
    assert len(got) >= 2, f"sent twice, arrived {len(got)} times"
    for one in got[-2:]:
        for part in (page.subject, page.text.splitlines()[0], page.key):
            assert part in one or json.dumps(part, ensure_ascii=False)[1:-1] in one, f"{part!r} is missing from {one!r}"


async def check_channel_failure(
    channel: Channel, page: PageOrdered, *, retryable: bool, secrets: Iterable[str] = ()
) -> None:
    """It raises ChannelError of the right kind, and its words hold none of ``secrets``."""
    try:
        await channel.send(page)
    except ChannelError as error:
        kind = "retryable" if error.retry_after_seconds is not None else "final"
        assert (error.retry_after_seconds is not None) == retryable, f"{error}: {kind}"
        check_redacted(error, secrets)
        return
    raise AssertionError("it failed, and nobody was told")


async def check_channel_in_time(send: Callable[[], Awaitable[None]], within_seconds: float) -> None:
    """A receiver that never answers is given up in time, and may be tried again."""
    began = time.monotonic()
    try:
        await asyncio.wait_for(send(), within_seconds + 1)
    except ChannelError as error:
        assert error.retry_after_seconds is not None, "silence is worth another try"
    except TimeoutError as error:
        raise AssertionError(f"it waited longer than {within_seconds} s") from error
    else:
        raise AssertionError("nobody answered, and it says delivered")
    assert time.monotonic() - began <= within_seconds + 0.5


def check_redacted(error: BaseException, secrets: Iterable[str]) -> None:
    """No secret in the error's words, nor in those of its causes that a log would print."""
    words = f"{error} {getattr(error, 'hint', '')}"
    for secret in secrets:
        assert secret not in words, f"a secret stands in {type(error).__name__}"


# -- sources --


async def check_source_counts(
    source: Source, slo: Slo, since_at: float, until_at: float, step_seconds: float, *, events: float, bad: float
) -> Sequence[SliCounts]:
    """Over [since_at, until_at) it counts ``events`` in all, ``bad`` of them, to half a per cent; its steps ascend, lie on
    multiples of the step and inside the span; asked in two halves it counts the same; and it never claims to have seen
    what it was not asked for."""
    assert source.name, "a source needs a name"
    whole = await source.counts(slo, since_at, until_at, step_seconds)
    _check_steps(whole, slo, since_at, until_at, step_seconds)
    middle = since_at + (until_at - since_at) // (2 * step_seconds) * step_seconds
    halves = [
        *await source.counts(slo, since_at, middle, step_seconds),
        *await source.counts(slo, middle, until_at, step_seconds),
    ]
    for what, found in (("at once", whole), ("in two halves", halves)):
        total = sum(float(one.total.sum()) for one in found)
        failed = total - sum(float(one.good.sum()) for one in found)
        assert abs(total - events) <= max(0.005 * events, 1e-6), f"asked {what}: {total:g} events, not {events:g}"
        assert abs(failed - bad) <= max(0.005 * bad, 1e-6), f"asked {what}: {failed:g} were bad, not {bad:g}"
    return whole


def _check_steps(found: Sequence[SliCounts], slo: Slo, since_at: float, until_at: float, step_seconds: float) -> None:
    assert found, "no entry at all: nothing matched is an entry without steps"
    assert len({one.key for one in found}) == len(found), "two entries for one group"
    for one in found:
        assert one.slo == slo.name, f"counted for {one.slo}"
        assert len(one.at) == len(one.good) == len(one.total), "a good and a total for each step"
        assert (one.at[1:] > one.at[:-1]).all(), "steps ascend, and come once"
        assert (abs(one.at / step_seconds - (one.at / step_seconds).round()) < 1e-6).all(), "steps lie on multiples"
        assert not one.at.size or (one.at[0] >= since_at and one.at[-1] + step_seconds <= until_at), "outside the span"
        assert one.seen_until <= until_at, "it says that it saw what it was not asked for"


async def check_source_silent(source: Source, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> str:
    """A query that matches nothing is no error and no zero: an entry without steps that says so. Returns its words."""
    found = await source.counts(slo, since_at, until_at, step_seconds)
    assert found, "no entry at all"
    assert all(one.at.size == 0 for one in found), "it counted where nothing is"
    assert all(one.seen_until <= since_at + step_seconds for one in found), "it says that it saw what is not there"
    assert found[0].gap, "nothing matched, and it does not say so"
    return found[0].gap


async def check_source_fails(
    source: Source, slo: Slo, *, says: Iterable[str] = (), secrets: Iterable[str] = (), within_seconds: float = 30.0
) -> None:
    """It raises SourceError in time, which names the source, says each of ``says`` and holds none of ``secrets``."""
    began = time.monotonic()
    try:
        await asyncio.wait_for(source.counts(slo, 1_790_000_000, 1_790_000_600, 60), within_seconds + 1)
    except SourceError as error:
        words = f"{error} {error.hint}"
        for part in (source.name, *says):
            assert part in words, f"{part!r} is missing from {words!r}"
        check_redacted(error, secrets)
    except TimeoutError as error:
        raise AssertionError(f"it waited longer than {within_seconds} s") from error
    else:
        raise AssertionError("it failed, and nobody was told")
    assert time.monotonic() - began <= within_seconds + 0.5


# -- a real local receiver --


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A real HTTP server on a free loopback port. ``answers`` are used up one by one, then 200: (status, headers).
    ``silent_seconds`` makes it wait before it answers, ``body`` is what it answers with. Use as a context manager."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    silent_seconds: float = 0.0
    received: list[Received] = field(default_factory=list)
    url: str = ""
    body: bytes = b"{}"

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                if receiver.silent_seconds:
                    receiver._closing.wait(receiver.silent_seconds)
                status, extra = receiver.answers.pop(0) if receiver.answers else (200, {})
                try:
                    self.send_response(status)
                    for name, value in extra.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(receiver.body)))
                    self.end_headers()
                    self.wfile.write(receiver.body)
                except OSError:
                    pass  # the client gave up, which is what some checks want

            def log_message(self, *_: object) -> None:
                pass

        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def bodies(self) -> list[str]:
        return [one.body.decode("utf-8", "replace") for one in self.received]
