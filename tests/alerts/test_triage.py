"""What becomes of alerts, as a pure function: turn by turn, with and without the working set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from midwatch.core.detect.incidents import group
from midwatch.core.memory import Memory
from midwatch.core.oncall import flapping
from midwatch.core.oncall.dedup import sort_out
from midwatch.core.oncall.triage import triage
from midwatch.core.turn import Turn
from midwatch.core.verify.closing import close
from midwatch.model import alert_steps
from midwatch.model import events as e
from midwatch.model.alerts import Alert, Inhibition, Silence, fits, parse_matchers
from midwatch.model.events import Recorded
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.model.world import empty_world

NOW = 1_790_000_000.0


def alert(name: str = "Down", service: str = "orders", state: str = "firing", **more: Any) -> Alert:
    labels = {"alertname": name, "service": service, **more.pop("labels", {})}
    values = {"severity": 3, "entity": f"service:{service}", "labels": labels, **more}
    return Alert(f"prom:{name}/{service}", "prom", state, NOW, NOW, name=name, **values)


class Bench:
    """State, memory and a clock. ``hear`` is what the inbox does, ``turn`` one turn of triage, grouping and closing."""

    def __init__(self, **policy: Any) -> None:
        self.now = NOW
        self.memory = Memory()
        self.state = State()
        self.forgets = False
        self.say(e.PolicyLoaded(Policy(resolve_after_seconds=0.0, **policy)))

    def say(self, *events: e.Event) -> None:
        for event in events:
            self.state = fold(self.state, Recorded(self.state.seq + 1, self.now, event))

    def hear(self, *alerts: Alert) -> None:
        found = sort_out(self.state.alerts, alerts, self.now)
        self.say(e.AlertsReceived(found.new, found.again))

    def turn(self, seconds: float = 1.0, *inputs: e.Event) -> tuple[e.Event, ...]:
        self.now += seconds
        memory = Memory() if self.forgets else self.memory
        turn = close(group(triage(Turn(self.state, memory, empty_world(self.now), self.now, inputs))))
        self.memory = turn.memory
        self.say(*turn.events)
        return turn.events

    def place(self, name: str = "Down", service: str = "orders") -> tuple[str, str]:
        record = self.state.alerts[f"prom:{name}/{service}"]
        return record.place, record.why

    @property
    def open(self) -> list[str]:
        return [incident.id for incident in self.state.open_incidents]


def test_both_halves_of_a_pair_and_reminders_are_one_alert() -> None:
    bench = Bench()
    bench.hear(alert(), alert(), alert())
    bench.hear(alert())
    (record,) = bench.state.alerts.values()
    assert record.count == 4 and record.alert.state == "firing"
    bench.turn()
    assert bench.open == ["INC-1"]
    bench.hear(alert(state="resolved"), alert(state="resolved"))
    bench.turn(), bench.turn()
    assert bench.open == [] and bench.place() == ("over", "resolved")
    bench.hear(alert(state="resolved"), alert(service="cart", state="resolved"))  # nothing of that key is open
    assert len(bench.state.alerts) == 1


def test_an_end_that_overtook_its_beginning_ends_nothing() -> None:
    bench = Bench()
    bench.hear(replace(alert(), since_at=NOW + 50, at=NOW + 50))
    bench.hear(replace(alert(state="resolved"), since_at=NOW, at=NOW + 40))
    assert bench.state.alerts["prom:Down/orders"].firing


def test_inhibition_holds_what_follows_from_another_alert_and_lets_it_go_again() -> None:
    rule = Inhibition(parse_matchers('alertname="ZoneDark"'), parse_matchers('alertname=~"Down|Slow"'), ("zone",))
    bench = Bench(inhibitions=(rule,))
    eu, us = {"zone": "eu"}, {"zone": "us"}
    bench.hear(alert("Down", labels=eu), alert("Down", "cart", labels=us))
    bench.turn()
    assert bench.place()[0] == "grouped" and len(bench.open) == 2
    bench.hear(alert("ZoneDark", "edge", labels=eu))
    bench.turn()
    assert bench.place() == ("inhibited", "ZoneDark fires, which makes this needless")
    assert bench.place(service="cart")[0] == "grouped", "another zone"
    bench.hear(alert("ZoneDark", "edge", "resolved"))
    bench.turn()
    assert bench.place()[0] == "grouped", "its own trouble is not over"


def test_two_alerts_never_inhibit_each_other() -> None:
    rule = Inhibition(parse_matchers('alertname=~"A|B"'), parse_matchers('alertname=~"A|B"'))
    bench = Bench(inhibitions=(rule,))
    bench.hear(alert("A"), alert("B", "cart"))
    bench.turn()
    assert {bench.place("A")[0], bench.place("B", "cart")[0]} == {"grouped"}


def test_a_maintenance_window_begins_and_ends_by_itself_and_says_how_many_still_fire() -> None:
    bench = Bench()
    window = Silence("SIL-1", "maintenance", parse_matchers('service="orders"'), NOW + 10, NOW + 60, "ann", "upgrade")
    bench.say(e.SilenceSet(window))
    bench.hear(alert(service="cart"))
    bench.turn(1)
    assert bench.open == ["INC-1"]
    bench.turn(15)
    bench.hear(alert())
    bench.turn(1)
    assert bench.place()[0] == "maintenance" and "by ann: upgrade" in bench.place()[1]
    ended = [event for event in bench.turn(60) if isinstance(event, e.SilenceEnded)]
    assert [(one.silence, one.why, one.firing) for one in ended] == [("SIL-1", "its time is over", 1)]
    assert bench.place()[0] == "grouped" and bench.open == ["INC-1", "INC-2"]


def test_one_that_comes_and_goes_is_one_trouble_until_it_is_quiet() -> None:
    bench = Bench()
    ends = 0
    for _ in range(8):
        bench.hear(alert())
        bench.turn(20)
        bench.hear(alert(state="resolved"))
        ends += sum(isinstance(event, e.IncidentResolved) for _ in range(2) for event in bench.turn(20))
    assert ends <= 3, "after the fifth change it is kept open"
    assert bench.place()[0] == "flapping" and "kept open until quiet for 10 min" in bench.place()[1]
    assert len(bench.open) == 1
    bench.turn(flapping.QUIET_SECONDS), bench.turn(), bench.turn()
    assert bench.place()[0] == "over" and bench.open == []


def test_a_storm_of_strangers_is_few_incidents_and_a_stranger_after_an_answer_is_not_swallowed() -> None:
    bench = Bench()
    bench.hear(*(alert(service=f"svc-{n}") for n in range(500)))
    bench.turn()
    assert len(bench.open) == 5
    assert "a storm is one incident" in bench.state.alerts["prom:Down/svc-99"].why
    for ident in bench.open:
        bench.say(e.IncidentAcknowledged(ident, "ann"))
    bench.hear(alert("Melts", "vault"))
    bench.turn()
    assert bench.place("Melts", "vault") == ("grouped", "nothing open was about vault") and len(bench.open) == 6


def test_many_alerts_of_one_entity_are_one_incident_and_its_findings_are_bounded() -> None:
    bench = Bench()
    bench.hear(*(alert(f"Check{n}") for n in range(300)))
    bench.turn()
    assert bench.open == ["INC-1"]
    assert len(bench.state.incidents["INC-1"].findings) <= 101
    for n in range(299):
        bench.hear(alert(f"Check{n}", state="resolved"))
    bench.turn(), bench.turn()
    assert bench.open == ["INC-1"], "one of them still fires"
    bench.hear(alert("Check299", state="resolved"))
    bench.turn(), bench.turn()
    assert bench.open == []


def test_a_worse_word_about_the_same_trouble_rates_its_incident_worse() -> None:
    bench = Bench()
    bench.hear(alert(severity=4))
    bench.turn()
    assert bench.state.incidents["INC-1"].severity == 4
    bench.hear(alert(severity=1))
    bench.turn()
    assert bench.state.incidents["INC-1"].severity == 1
    bench.hear(alert(severity=4))
    bench.turn()
    assert bench.state.incidents["INC-1"].severity == 1, "better only after a while"
    for _ in range(11):
        bench.turn(60.0)
    rated = bench.state.incidents["INC-1"]
    assert (rated.severity, rated.worst) == (4, 1) and rated.severity_reason.startswith(
        "milder for 10 min: so rated by"
    )


def test_one_of_several_alerts_that_gets_milder_changes_nothing() -> None:
    bench = Bench()
    one, other = (replace(alert(severity=2), key=f"prom:{name}") for name in "ab")
    bench.hear(one, other)
    bench.turn()
    assert len(bench.state.findings) == 1
    bench.hear(replace(one, severity=4))
    for _ in range(12):
        bench.turn(60.0)
    assert bench.state.incidents["INC-1"].severity == 2


def test_a_sender_that_acknowledges_all_of_it_acknowledges_the_incident() -> None:
    bench = Bench()
    bench.hear(alert("Down"), alert("Slow"))
    bench.turn()
    bench.hear(alert("Down", state="acknowledged", by="zoe"))
    bench.turn()
    assert not bench.state.incidents["INC-1"].acknowledged_by
    bench.hear(alert("Slow", state="acknowledged", by="zoe"))
    bench.turn()
    assert bench.state.incidents["INC-1"].acknowledged_by == "zoe"


def test_state_is_bounded_and_what_fires_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_steps, "MAX_ALERTS", 100)
    bench = Bench()
    bench.hear(*(alert(service=f"a{n}") for n in range(60)))
    bench.hear(*(alert(service=f"a{n}", state="resolved") for n in range(50)))
    bench.hear(*(alert(service=f"b{n}") for n in range(60)))
    assert len(bench.state.alerts) <= 100
    assert sum(record.firing for record in bench.state.alerts.values()) == 70


@pytest.mark.parametrize("text", ["", "{}", "a", "=b", 'a="b" c="d"x', 'a=~"("', 'a=~".*"', 'a!="b"', 'a=""'])
def test_matchers_that_say_nothing_or_everything_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_matchers(text)


def test_matchers() -> None:
    two = parse_matchers('{alertname="Do\\"wn", service=~"pay.*"}')
    assert fits(two, {"alertname": 'Do"wn', "service": "payment"})
    assert not fits(two, {"alertname": 'Do"wn', "service": "repayment"}), "the whole value must match"
    assert not fits((), {"a": "b"}), "no matcher fits nothing"


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fire"), st.integers(0, 5), st.integers(1, 5)),
        st.tuples(st.just("end"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("silence"), st.integers(0, 5), st.integers(1, 90)),
        st.tuples(st.just("move"), st.integers(0, 5), st.integers(1, 3)),
        st.tuples(st.just("ack"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 400), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


@given(_STEPS)
@example([("fire", 1, 1), ("fire", 0, 1), ("fire", 3, 1)])
@example([("fire", 0, 1), ("silence", 0, 2), ("fire", 1, 1)])
@settings(max_examples=100, deadline=None)
def test_a_working_set_that_is_lost_at_every_turn_changes_nothing(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is said in whatever order: the shortcut and the long way come to the same state."""
    rule = Inhibition(parse_matchers('service="s0"'), parse_matchers('service=~"s[12]"'))
    quick, slow = Bench(inhibitions=(rule,)), Bench(inhibitions=(rule,))
    slow.forgets = True
    for number, (what, who, more) in enumerate(steps):
        for bench in (quick, slow):
            _step(bench, what, who, more, number)
        assert quick.state == slow.state, (number, what, who, more)


def _step(bench: Bench, what: str, who: int, more: int, number: int) -> None:
    match what:
        case "fire":
            bench.hear(alert(service=f"s{who}", severity=more, group=f"g{who % 2}"))
            bench.turn()
        case "end":
            bench.hear(alert(service=f"s{who}", state="resolved"))
            bench.turn()
        case "silence":
            matchers = parse_matchers(f'service="s{who}"')
            held = Silence(f"SIL-{number}", "silence", matchers, bench.now + 1, bench.now + 1 + more, "ann", "because")
            bench.say(e.SilenceSet(held))
            bench.turn()
        case "move":
            bench.turn(
                1.0, e.CommandGiven("move_alert", "ann", f"prom:Down/s{who}", f"INC-{more}" if more > 1 else "new")
            )
        case "ack":
            bench.say(e.IncidentAcknowledged(f"INC-{who}", "ann"))
        case "turn":
            bench.turn(float(who))
