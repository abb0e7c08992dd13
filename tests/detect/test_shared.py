"""What no call connects, and one host does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.decide.worlds import START, finding, traffic, world

from midwatch.core.detect.incidents import group
from midwatch.core.detect.shared import hosts_of, shared_evidence
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model.entity import Edge, Entity
from midwatch.model.events import FindingOpened, IncidentGrew, IncidentOpened, PolicyLoaded, Recorded
from midwatch.model.findings import Finding
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.model.world import World

MAIL, SHOP = "service:mail", "service:shop"
FULL = Finding("saturation|host:node-1|disk", "saturation", "host:node-1", START, 0.99, 0.5, "ratio")


def apart(mail_on: str = "node-1", shop_on: str = "node-1") -> World:
    """Two services that never call each other, each with one instance, and a third that both could be known by."""
    known = [
        Entity("service", "mail"), Entity("service", "shop"), Entity("service", "a"), Entity("service", "b"),
        Entity("instance", "mail-1", {"service": "mail", "host": mail_on}),
        Entity("instance", "shop-1", {"service": "shop", "host": shop_on}),
    ]  # fmt: skip
    edges = [Edge(MAIL, "service:a"), Edge(SHOP, "service:b")]
    seen = world(START + 20, traffic(0.1), entities=known)
    return replace(seen, edges={edge.key: edge for edge in edges})


@pytest.mark.parametrize(
    ("seen", "findings", "shares"),
    [
        (apart(), [FULL], True),
        (apart(), [], False),  # a host that is well says nothing
        (apart(shop_on="node-2"), [FULL], False),
        (apart("node-2", "node-2"), [FULL], False),
    ],
)
def test_a_host_in_trouble_is_shared_evidence(seen: World, findings: list[Finding], shares: bool) -> None:
    why = shared_evidence(seen, findings, MAIL, (SHOP,))
    assert bool(why) == shares
    if why:
        assert why == "mail and shop both depend on the host node-1 (saturation there)"


def test_the_host_itself_belongs_to_what_runs_on_it() -> None:
    assert hosts_of(apart(), "host:node-1") == {"host:node-1"}
    assert shared_evidence(apart(), [FULL], "host:node-1", (SHOP,))
    assert hosts_of(apart(), "service:nobody") == set()


@pytest.mark.parametrize(("extra", "incidents"), [((FULL,), 1), ((), 2)])
def test_one_full_disk_is_one_incident(extra: tuple[Finding, ...], incidents: int) -> None:
    state = State()
    for event in (PolicyLoaded(Policy()), *(FindingOpened(f) for f in (*extra, finding(SHOP), finding(MAIL)))):
        state = fold(state, Recorded(state.seq + 1, START, event))
    done = group(Turn(state, Memory(started_at=START - 1000), apart(), START + 20))
    assert len(done.state.open_incidents) == incidents
    told = [e.why for e in done.events if isinstance(e, IncidentGrew)]
    assert told == (["shop and mail both depend on the host node-1 (saturation there)"] if extra else [])
    assert [type(e) for e in done.events].count(IncidentOpened) == incidents
