"""What a person sees that nothing else told: declared, it goes the way of an alert, until its incident is resolved."""

from __future__ import annotations

from tests.alerts.test_triage import Bench, alert

from midwatch.core.decide.obey import obey
from midwatch.core.memory import Memory
from midwatch.core.oncall import by_hand, said
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model.alerts import Silence, parse_matchers
from midwatch.model.world import empty_world


def declared(what: str, at: str = "", severity: str = "2") -> e.CommandGiven:
    return e.CommandGiven("declare", "ann", at, severity, what)


def test_it_opens_an_incident_in_the_words_of_whoever_saw_it() -> None:
    bench = Bench()
    bench.turn(1.0, declared("wrong prices | in  euro", "service:checkout"))
    (incident,) = bench.state.open_incidents
    assert (incident.title, incident.severity) == ("wrong prices / in euro at checkout", 2)
    assert said.page_lines(bench.state, incident) == ("Declared by ann.",)
    bench.turn(1.0, declared("nobody can sign in", severity="1"))
    assert bench.state.incidents["INC-2"].title == "nobody can sign in", "where nobody knows the service"


def test_it_joins_what_is_open_about_the_same_and_makes_it_worse() -> None:
    bench = Bench()
    bench.hear(alert(service="checkout"))
    bench.turn()
    bench.turn(1.0, declared("nobody can pay", "service:checkout", "1"))
    assert bench.open == ["INC-1"] and bench.state.incidents["INC-1"].severity == 1


def test_it_is_over_when_its_incident_is_resolved_and_not_before() -> None:
    bench = Bench()
    bench.turn(1.0, declared("wrong prices", "service:checkout"))
    for _ in range(3):
        bench.turn(600.0)
    assert bench.open == ["INC-1"]
    resolve = e.CommandGiven("resolve", "ann", "INC-1")
    bench.say(*obey(Turn(bench.state, Memory(), empty_world(bench.now), bench.now, (resolve,))).events)
    bench.turn()
    assert not bench.open and not any(record.firing for record in bench.state.alerts.values())


def test_a_silence_holds_it_back_like_any_alert() -> None:
    bench = Bench()
    quiet = parse_matchers('source="people",entity="service:checkout"')
    bench.say(e.SilenceSet(Silence("SIL-1", "maintenance", quiet, bench.now, bench.now + 600, "bo", "new racks")))
    bench.turn(1.0, declared("wrong prices", "service:checkout"))
    assert not bench.open


def test_what_says_nothing_is_refused_with_a_reason_and_there_is_a_bound() -> None:
    bench = Bench()
    for word, why in (
        (declared("  "), "in a few words"),
        (declared("x", severity="5"), "1 (worst)"),
        (declared("x", "checkout"), "no entity"),
        (declared("x", "service:a|b"), "no entity"),
        (declared("x", "service:a\x1b[31m"), "no entity"),
        (declared("x", "service:" + "a" * 500), "no entity"),
    ):
        assert why in by_hand.why_not(bench.state, word)
        (refused,) = bench.turn(1.0, word)
        assert isinstance(refused, e.CommandRefused) and why in refused.why
    for number in range(by_hand.MAX_DECLARED):
        bench.turn(0.01, declared(f"thing {number}", "service:checkout"))
    assert "resolve those that are over" in by_hand.why_not(bench.state, declared("one more"))
