"""What must hold of any diagnosis, on incidents of the simulator: what is missing never makes it sure of something wrong,
names and clocks do not matter, health accuses nobody, no input breaks it, and strangers to the incident change nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.diagnose.diagnose import Ranking, diagnose
from midwatch.core.diagnose.neighbourhood import neighbourhood
from midwatch.gym.simulator.conditions import Conditions
from midwatch.gym.simulator.fleet import draw_fleet
from midwatch.gym.simulator.incidents import EVIDENCE, GATEWAY, Incident, draw, without
from midwatch.gym.simulator.scenario import EPOCH, STEP_SECONDS
from midwatch.gym.simulator.telemetry import Telemetry
from midwatch.model import signals
from midwatch.model.entity import Edge, edge_key, is_edge, split_edge
from midwatch.model.findings import Finding
from midwatch.model.world import SeriesIndex, SeriesSet, World

SURE = 0.8
NUMBERS = st.integers(0, 40)
few = settings(max_examples=25, deadline=None, derandomize=True)


@cache
def incident(number: int) -> Incident:
    """Incident ``number`` with all its evidence, or the next one that anybody feels."""
    return draw(5, number, 0.0) or incident(number + 1)


def masses(ranking: Ranking | None) -> dict[str, float]:
    assert ranking is not None
    assert abs(sum(h.probability for h in ranking.hypotheses) + ranking.unknown - 1) < 1e-9
    assert all(0 <= h.probability <= 1 for h in ranking.hypotheses) and -1e-9 <= ranking.unknown <= 1
    return dict(ranking.by_entity)


@few
@given(NUMBERS, st.sets(st.sampled_from(sorted(EVIDENCE)), min_size=1))
def test_what_is_missing_never_makes_a_wrong_answer_a_sure_one(number: int, missing: set[str]) -> None:
    whole = incident(number)
    told = replace(whole, world=without(whole.world, tuple(sorted(missing))))
    before, after = masses(whole.rank()), masses(told.rank())
    for entity, probability in after.items():
        if entity not in whole.culprits:
            assert probability < max(SURE, before.get(entity, 0.0) + 1e-9), f"{entity} without {sorted(missing)}"
            assert probability - before.get(entity, 0.0) <= 0.5


def told_otherwise(one: Incident, names: dict[str, str], seconds: float) -> Incident:
    """The same incident of a fleet whose services and instances have other names, on another day."""

    def key(old: str) -> str:
        if is_edge(old):
            return edge_key(*(key(end) for end in split_edge(old)))
        kind, _, name = old.partition(":")
        for service, new in names.items():
            if kind in ("service", "instance") and (name == service or name.startswith(f"{service}-")):
                return f"{kind}:{new}{name[len(service) :]}"
        return old

    world = one.world
    series = world.series
    entities = {}
    for old, entity in world.entities.items():
        labels = {k: names.get(v, v) if k == "service" else v for k, v in entity.labels.items()}
        entities[key(old)] = type(entity)(entity.kind, key(old).partition(":")[2], labels)
    edges = {key(e.key): Edge(key(e.caller), key(e.callee)) for e in world.edges.values()}
    moved = type(world.changes[0]) if world.changes else None
    changes = tuple(
        moved(c.id, c.at + seconds, c.kind, key(c.entity), c.summary, c.before, c.after, c.by)
        for c in world.changes
        if moved
    )
    patterns = tuple(
        type(p)(p.id, key(p.entity), p.severity, p.template, p.exemplar, p.first_seen_at + seconds)
        for p in world.logs.patterns
    )
    index = SeriesIndex(tuple(key(s) for s in series.index.subjects), series.index.signals)
    new = replace(
        world,
        now=world.now + seconds,
        series=SeriesSet(index, series.values, series.start_at + seconds, series.step_seconds),
        logs=type(world.logs)(patterns, world.logs.counts),
        entities=entities,
        edges=edges,
        entries=tuple(key(e) for e in world.entries),
        changes=changes,
    )
    findings = tuple(
        Finding(key(f.entity), f.kind, key(f.entity), f.since_at + seconds, f.value, f.baseline, f.unit)
        for f in one.findings
    )
    return replace(one, world=new, onset_at=one.onset_at + seconds, findings=findings)


@few
@given(NUMBERS, st.integers(0, 2**32 - 1), st.integers(-(10**8), 10**8))
def test_names_and_clocks_do_not_matter(number: int, seed: int, seconds: int) -> None:
    one = incident(number)
    services = [key.partition(":")[2] for key in one.world.entities if key.startswith("service:")]
    order = np.random.default_rng(seed).permutation(len(services))
    names = {
        service: f"{'zqxkjv'[place % 6]}{place:02}" for service, place in zip(services, order.tolist(), strict=True)
    }
    before, after = one.rank(), told_otherwise(one, names, float(seconds)).rank()
    back = {f"service:{new}": f"service:{old}" for old, new in names.items()}
    again = {back.get(entity, entity): p for entity, p in masses(after).items()}
    # The last few of many small ones may differ by name: only so many are kept.
    for entity, probability in masses(before).items():
        if probability > 0.01:
            assert again[entity] == pytest.approx(probability, abs=1e-6)


def healthy(seed: int) -> World:
    rng = np.random.default_rng(seed)
    fleet = draw_fleet(rng)
    telemetry = Telemetry(fleet, rng, EPOCH, 72, STEP_SECONDS)
    telemetry.advance(Conditions(fleet), 72)
    return telemetry.world(telemetry.now, 72)


@few
@given(st.integers(0, 1000), st.booleans())
def test_health_accuses_nobody(seed: int, alarmed: bool) -> None:
    """Neither when nobody says that anything is wrong, nor after a false alarm."""
    onset_at = EPOCH + 48 * STEP_SECONDS
    false = Finding(f"error_shift|{GATEWAY}|", "error_shift", GATEWAY, onset_at, 0.02, 0.0, "ratio")
    found = masses(diagnose(healthy(seed), onset_at, (GATEWAY,), (false,) if alarmed else ()))
    assert max(found.values(), default=0.0) < 0.5


def damaged(world: World, how: str, rng: np.random.Generator) -> World:
    series = world.series
    values = series.values.copy()
    rows = rng.random(len(values)) < 0.5
    if how == "constant":
        values[rows] = 7.0
    elif how == "nothing":
        values[rows] = np.nan
    elif how == "gaps":
        values[:, rng.random(series.steps) < 0.4] = np.nan
        values[rng.random(values.shape) < 0.2] = np.nan
    elif how == "resets":  # a counter that began anew shows as a large negative step where nobody looked
        values[rng.random(values.shape) < 0.02] = -1e6
    elif how == "infinite":
        values[rng.random(values.shape) < 0.02] = np.inf
    edges = dict(world.edges)
    if how == "circles":
        names = [key for key in world.entities if key.startswith(("service:", "database:"))]
        for caller, callee in rng.permutation(names)[: len(names) // 2 * 2].reshape(-1, 2).tolist():
            edges |= {e.key: e for e in (Edge(caller, callee), Edge(callee, caller), Edge(caller, caller))}
    return replace(
        world, edges=edges, series=SeriesSet(series.index, values, series.start_at, series.step_seconds)
    )  # fmt: skip


@few
@given(NUMBERS, st.sampled_from(["constant", "nothing", "gaps", "resets", "infinite", "circles"]), st.integers(0, 9))
def test_no_input_breaks_it(number: int, how: str, seed: int) -> None:
    one = incident(number)
    world = damaged(one.world, how, np.random.default_rng(seed))
    masses(replace(one, world=world).rank())
    bare = without(world, tuple(EVIDENCE))
    masses(diagnose(bare, one.onset_at, [f.entity for f in one.findings], one.findings))


def beside(one: Incident, other: Incident) -> World:
    """Two fleets in one World, with the other's services under other names and its stores its own."""
    names = {
        k.partition(":")[2]: f"far-{k.partition(':')[2]}" for k in other.world.entities if k.startswith("service:")
    }
    far = told_otherwise(other, names, 0.0).world

    def stores(key: str) -> str:
        if is_edge(key):
            return edge_key(*(stores(end) for end in split_edge(key)))
        kind, _, name = key.partition(":")
        return key if kind in ("service", "instance") else f"{kind}:far-{name}"

    steps = one.world.series.steps
    index, more = one.world.series.index, far.series.index
    both = SeriesIndex((*index.subjects, *(stores(s) for s in more.subjects)), (*index.signals, *more.signals))
    values = np.full((len(both), steps), np.nan)
    values[: len(index)] = one.world.series.values
    width = min(steps, far.series.steps)
    values[len(index) :, :width] = far.series.values[:, :width]
    entities = {
        stores(k): type(e)(e.kind, stores(k).partition(":")[2], {**e.labels, "region": f"far-{e.labels.get('region')}"})
        for k, e in far.entities.items()
    }
    return replace(
        one.world,
        series=SeriesSet(both, values, one.world.series.start_at, STEP_SECONDS),
        entities={**one.world.entities, **entities},
        edges={
            **one.world.edges,
            **{stores(e.key): Edge(stores(e.caller), stores(e.callee)) for e in far.edges.values()},
        },
        entries=(*one.world.entries, *far.entries),
    )


@few
@given(NUMBERS, NUMBERS)
def test_what_no_affected_request_touches_changes_nothing(number: int, other: int) -> None:
    one = incident(number)
    alone = masses(one.rank())
    world = beside(one, incident(other))
    near = neighbourhood(world, [f.entity for f in one.findings])
    assert set(near.series.index.subjects) <= set(one.world.series.index.subjects)
    assert masses(replace(one, world=world).rank()) == pytest.approx(alone)


def test_who_else_calls_a_shared_store_stays_in_sight() -> None:
    one = incident(0)
    world = replace(one.world, entries=(*one.world.entries, "service:batch"))
    world = replace(
        world,
        entities={**world.entities, "service:batch": type(world.entities[GATEWAY])("service", "batch")},
        edges={**world.edges, "service:batch>database:shop": Edge("service:batch", "database:shop")},
    )
    near = neighbourhood(world, [GATEWAY])
    assert near.entries == (GATEWAY,)
    assert "service:batch>database:shop" in near.edges
    assert signals.REQUESTS in near.series.index.signals
