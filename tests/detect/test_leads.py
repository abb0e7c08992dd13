"""Leads: new complaints in logs, requests of another shape, what fills up, signals that are no longer reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.worlds import START, STEP, after, flat, make_world

from midwatch.core.detect.bursts import bursts, log_bursts
from midwatch.core.detect.dead import dead_signals, silent
from midwatch.core.detect.shapes import shapes, trace_shapes
from midwatch.core.detect.stage import MAX_LEADS, detect
from midwatch.core.detect.trend import trending, trends
from midwatch.core.loop import tick
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model import signals
from midwatch.model.findings import LEADS, Finding
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.model.world import Gap, LogPattern, World

GATEWAY, PAYMENT, SHOP, HOST = "service:gateway", "service:payment", "database:shop", "host:h1"
STEPS = 240
RNG = np.random.default_rng(3)


def turn(world: World) -> Turn:
    return Turn(State(), Memory(started_at=START), world, world.now)


def pattern(name: str, severity: int = 17) -> LogPattern:
    return LogPattern(name, PAYMENT, severity, f"{name}: <*>")


def healthy() -> dict[tuple[str, str], np.ndarray]:
    return {
        (GATEWAY, signals.REQUESTS): flat(100, STEPS),
        (PAYMENT, signals.REQUESTS): flat(100, STEPS),
        (f"{GATEWAY}>{PAYMENT}", signals.CALLS): flat(100, STEPS),
        (f"{PAYMENT}>{SHOP}", signals.CALLS): flat(100, STEPS),
    }


# --- logs -------------------------------------------------------------------------------------------------------------


def test_a_new_error_and_an_old_one_far_more_often() -> None:
    logs = [
        (pattern("KeyError"), after(0, 3, STEPS - 4, STEPS)),
        (pattern("Timeout"), after(1, 8, STEPS - 6, STEPS)),
        (pattern("retrying", 13), after(0, 9, STEPS - 6, STEPS)),
        (pattern("always"), flat(5, STEPS)),
    ]
    found = {f.id: f for f in log_bursts(turn(make_world(healthy(), logs=logs)))}
    assert set(found) == {f"log_burst|{PAYMENT}|KeyError", f"log_burst|{PAYMENT}|Timeout"}
    assert "(new)" in found[f"log_burst|{PAYMENT}|KeyError"].detail
    assert found[f"log_burst|{PAYMENT}|Timeout"].baseline == 1 / STEP


def test_a_burst_that_is_over_or_of_one_step_is_none() -> None:
    over = flat(0, STEPS)
    over[-6:-2] = 5
    one = after(0, 40, STEPS - 1, STEPS)
    assert bursts(np.stack([over, one])).rows.size == 0


def test_complaints_that_come_in_bursts_burst_all_the_time() -> None:
    on = (np.arange(STEPS) % 24 < 6).astype(float) * 4
    assert bursts(np.roll(on, -18)[None, :]).rows.size == 0


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_more_calls_per_request_fewer_and_somebody_new() -> None:
    series = healthy()
    series[f"{PAYMENT}>{SHOP}", signals.CALLS] = after(100, 300, STEPS - 12, STEPS)
    series[f"{GATEWAY}>{PAYMENT}", signals.CALLS] = after(100, 10, STEPS - 12, STEPS)
    series["service:gateway>service:ads", signals.CALLS] = after(0, 50, STEPS - 12, STEPS)
    found = {f.entity: f for f in trace_shapes(turn(make_world(series)))}
    assert (
        found[f"{PAYMENT}>{SHOP}"].value == 3.0 and "3 times per request, 1 before" in found[f"{PAYMENT}>{SHOP}"].detail
    )
    assert found[f"{GATEWAY}>{PAYMENT}"].value == 0.1
    assert found["service:gateway>service:ads"].detail.endswith("never before")


def test_more_traffic_of_the_same_shape_is_the_same_shape() -> None:
    series = {key: values * after(1, 3, STEPS - 12, STEPS) for key, values in healthy().items()}
    assert not list(trace_shapes(turn(make_world(series))))


def test_a_mix_of_routes_that_swings_has_no_one_shape() -> None:
    requests = np.full((200, 132), 50.0)
    swing = np.where(RNG.random((200, 132)) < 0.2, 8.0, 0.5)
    assert shapes(RNG.poisson(requests * swing).astype(float), requests).rows.size <= 2


# --- trends -----------------------------------------------------------------------------------------------------------


def test_what_fills_up_is_said_with_the_time_that_is_left() -> None:
    series = {
        (HOST, signals.DISK_RATIO): np.linspace(0.4, 0.8, STEPS),
        (PAYMENT, signals.MEMORY_BYTES): np.linspace(1e8, 3e8, STEPS),
        (PAYMENT, signals.MEMORY_LIMIT_BYTES): flat(4e8, STEPS),
        (SHOP, signals.MEMORY_BYTES): np.linspace(1e8, 3e8, STEPS),
        (GATEWAY, signals.FD_USED): flat(900, STEPS),
        (GATEWAY, signals.FD_LIMIT): flat(1024, STEPS),
    }
    found = list(trending(turn(make_world(series))))
    assert sorted(f.id for f in found) == [f"trend|{HOST}|disk_ratio", f"trend|{PAYMENT}|memory_bytes"]
    left = {f.entity: f.value / 60 for f in found}
    assert 9 < left[HOST] < 13 and 9 < left[PAYMENT] < 13
    assert "full in about" in found[0].detail


def test_slow_wavering_and_unheard_rows_are_no_trend() -> None:
    wander = 0.5 + 0.1 * np.cumsum(RNG.normal(0, 1, (300, STEPS)), axis=1) / np.sqrt(STEPS)
    assert trends(wander, horizon=360).rows.size <= 6, "random walks"
    gap = np.linspace(0.4, 0.8, STEPS)
    gap[90:150] = np.nan
    assert trends(gap[None, :]).rows.size == 0
    assert trends(np.linspace(0.4, 0.45, STEPS)[None, :]).rows.size == 0
    assert trends(np.linspace(0.4, 0.8, STEPS)[None, :], horizon=30).rows.size == 0, "full too far away"


# --- dead signals -----------------------------------------------------------------------------------------------------


def gauges() -> dict[tuple[str, str], np.ndarray]:
    return {
        (HOST, signals.CPU_RATIO): flat(0.2, STEPS),
        (HOST, signals.MEMORY_BYTES): after(1e9, np.nan, STEPS - 20, STEPS),
        (HOST, signals.DISK_RATIO): np.where(np.arange(STEPS) % 12 == 0, 0.4, np.nan),
        (HOST, signals.ERRORS): after(1, np.nan, STEPS - 60, STEPS),
    }


def test_a_signal_that_stopped_while_others_go_on() -> None:
    (finding,) = dead_signals(turn(make_world(gauges())))
    assert finding.id == f"lost_signal|{HOST}|memory_bytes"
    assert finding.value == 20 * STEP and finding.since_at == START + (STEPS - 21) * STEP


def test_when_all_of_an_entity_is_silent_others_say_so() -> None:
    series = {key: np.where(np.arange(STEPS) < STEPS - 20, values, np.nan) for key, values in gauges().items()}
    assert not list(dead_signals(turn(make_world(series))))
    nothing = replace(make_world(gauges()), gaps=(Gap("telemetry", START, "nothing arrives at all"),))
    assert not list(dead_signals(turn(nothing)))


@given(arrays(np.bool_, (4, 60)), st.integers(1, 11))
def test_no_silence_shorter_than_a_minute_is_death(heard: np.ndarray, quiet: int) -> None:
    heard[:, -quiet] = True
    assert silent(np.where(heard, 1.0, np.nan), np.zeros(4, dtype=np.intp)).size == 0


# --- all of them ------------------------------------------------------------------------------------------------------


def test_leads_open_no_incident_and_never_take_the_room_of_harm() -> None:
    series = {**healthy(), **gauges(), (f"{PAYMENT}>{SHOP}", signals.CALLS): after(100, 300, STEPS - 12, STEPS)}
    world = make_world(series, logs=[(pattern("KeyError"), after(0, 3, STEPS - 4, STEPS))])
    events, _ = tick(State(), Memory(started_at=START), world, (), world.now)
    kinds = {event.finding.kind for event in events if isinstance(event, e.FindingOpened)}
    assert {"shape", "log_burst", "lost_signal"} <= kinds
    assert not [event for event in events if isinstance(event, e.IncidentOpened)]

    state = State()
    for number in range(MAX_LEADS):
        lead = Finding(f"shape|x|{number}", "shape", "x", START, 0.0, 0.0, "")
        state = fold(state, e.Recorded(state.seq + 1, START, e.FindingOpened(lead)))
    full = detect(Turn(state, Memory(started_at=START), world, world.now))
    assert not [event for event in full.events if isinstance(event, e.FindingOpened) and event.finding.kind in LEADS]
    broken = {**series, (GATEWAY, signals.ERRORS): after(0, 40, STEPS - 4, STEPS)}
    hurt = detect(Turn(state, Memory(started_at=START), make_world(broken), world.now))
    assert [event.finding.kind for event in hurt.events if isinstance(event, e.FindingOpened)] == ["error_shift"]
