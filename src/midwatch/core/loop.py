"""The product on one screen.

    observe -> detect -> diagnose -> decide -> act -> verify -> learn

``tick`` is pure: no clock, no I/O, no randomness. Production, replay, the gym and the simulator all run this function.
The shell observes (builds the World), appends the returned events to the journal, and acts on those that order an
effect; the outcome comes back as an event before the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from midwatch.core.decide.obey import obey
from midwatch.core.decide.stage import decide
from midwatch.core.detect.incidents import group
from midwatch.core.detect.stage import detect
from midwatch.core.diagnose.stage import diagnose
from midwatch.core.learn.stage import learn
from midwatch.core.memory import Memory
from midwatch.core.oncall.handoff import hand_off
from midwatch.core.oncall.page import page
from midwatch.core.oncall.rota import rota
from midwatch.core.oncall.triage import triage
from midwatch.core.oncall.updates import tell
from midwatch.core.oncall.wake import wake
from midwatch.core.oncall.war_room import convene
from midwatch.core.slo.promise import promise
from midwatch.core.turn import Turn
from midwatch.core.verify.closing import close
from midwatch.core.verify.expect import verify
from midwatch.model.events import Event
from midwatch.model.state import State
from midwatch.model.world import World

Stage = Callable[[Turn], Turn]

STAGES: Final[tuple[Stage, ...]] = (
    obey,  # do what people said: acknowledge, approve, refuse, undo, hands off
    promise,  # keep the SLOs: count good and total, see which budget burns too fast
    detect,  # what is wrong where since when
    triage,  # what other systems' alerts come to: held back, or part of which incident
    group,  # which of it is one incident, and how bad it is
    diagnose,  # why: causes with probabilities, evidence and a path to the symptom
    decide,  # what to do about it, and whether midwatch may
    verify,  # did what was done help? undo it if not
    close,  # is it over?
    tell,  # say it in words that people can use
    rota,  # do what people said of shifts and escalations
    hand_off,  # tell who comes on call what is going on
    wake,  # wake the people whose turn it is, level by level
    page,  # page the channels, where no people are named
    convene,  # open a war room in the chat, and call those in who work on it
    learn,  # earn and lose autonomy, write the post-mortem
)


def tick(
    state: State, memory: Memory, world: World, inputs: Sequence[Event], now: float
) -> tuple[tuple[Event, ...], Memory]:
    """One turn of the loop at ``now`` (unix seconds; never before ``state.at``).

    ``inputs`` are events that are already journaled and folded into ``state`` (commands of people, announced changes).
    Returns the events to append, in order, and the working set for the next tick. ``Memory()`` stands for "lost".
    """
    now = max(now, state.at)
    turn = Turn(state, _awake(memory, now), world, now, tuple(inputs))
    for stage in STAGES:
        turn = stage(turn)
    return turn.events, turn.memory


def _awake(memory: Memory, now: float) -> Memory:
    """A fresh working set starts its warm-up now."""
    return replace(memory, started_at=memory.started_at or now)
