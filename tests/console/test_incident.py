"""The page of one incident: its way on the map, plotted evidence, the runner-up, the record, and merging and splitting."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as with_
from tests.console.test_pages import NOW, browser, check_document, csrf_of, get, text_of, watch_in

from midwatch.core.memory import Easing
from midwatch.faces.console import causal, charts, evidence
from midwatch.faces.console.fakes import STEP, FakeWatch
from midwatch.faces.console.incident import symptom_plots
from midwatch.faces.console.pulse import read_fleet
from midwatch.model import events as e
from midwatch.model import signals as s
from midwatch.model.entity import Entity
from midwatch.model.findings import Evidence, Hypothesis, Incident
from midwatch.model.room import CHECKLISTS
from midwatch.model.world import SeriesIndex, SeriesSet, World

PAYMENT, CHECKOUT, GATEWAY = "service:payment", "service:checkout", "service:gateway"
ONSET = NOW - 240


def page(watch: FakeWatch, ident: str = "INC-7") -> str:
    return get(watch, f"/incidents/{ident}").text


def drawn(watch: FakeWatch, ident: str = "INC-7") -> causal.CausalMap | None:
    fleet = read_fleet(watch.state, watch.world, watch.now)
    return causal.causal_map(watch.state, watch.world, fleet, watch.state.incidents[ident])


# -- the way --


def test_the_way_leads_from_the_cause_against_the_calls() -> None:
    shown = drawn(watch_in("incident"))
    assert shown is not None and [p.key for p in shown.steps] == [PAYMENT, CHECKOUT, GATEWAY] and shown.at is None
    for drawing in (shown.map.wide, shown.map.tall):
        assert drawing is not None
        hot = {(line.flow.caller, line.flow.callee, line.toward) for line in drawing.lines if line.hot}
        assert hot == {(CHECKOUT, PAYMENT, "caller"), (GATEWAY, CHECKOUT, "caller")}
        roles = {n.pulse.key: n.pulse.role for n in drawing.nodes if n.pulse.role}
        assert roles == {PAYMENT: "cause", CHECKOUT: "symptom", GATEWAY: "symptom"}
    text = page(watch_in("incident"))
    assert 'marker-start="url(#harm-wide)"' in text and "The fleet as it is now" in text_of(text)


def test_an_incident_that_is_over_is_drawn_as_it_was() -> None:
    watch = watch_in("resolved")
    shown = drawn(watch)
    named = watch.state.incidents["INC-7"].diagnosed_at
    assert shown is not None and shown.at == named
    assert next(p for p in shown.steps if p.key == PAYMENT).error_share > 0.1, "payment is well now; it was not then"
    assert read_fleet(watch.state, watch.world, watch.now).pulses[PAYMENT].error_share < 0.01
    watch.world = replace(watch.world, series=replace(watch.world.series, start_at=NOW))
    assert drawn(watch) is None and "The live view does not hold that moment" in text_of(page(watch))


def test_of_a_large_fleet_the_neighbourhood_is_drawn() -> None:
    watch = watch_in("incident", services=60)
    way = ("service:svc-11", "service:svc-5", "service:svc-2", "service:svc-0")
    ranked = e.CauseRanked("INC-7", (Hypothesis(way[0], "bad_deploy", 0.9, path=way),), 0.1)
    watch.say(NOW, ranked)
    shown = drawn(watch)
    assert shown is not None and tuple(p.key for p in shown.steps) == way
    assert shown.map.wide is not None and len(shown.map.wide.nodes) <= causal.MOST
    assert shown.map.tall is not None and len(shown.map.tall.nodes) <= causal.MOST_TALL
    assert shown.left_out > 30 and f"{shown.left_out} other entities are left out" in text_of(page(watch))


@pytest.mark.parametrize(
    ("path", "way"),
    [
        (("instance:payment-eu-1", CHECKOUT), (PAYMENT, CHECKOUT)),
        ((f"{CHECKOUT}>{PAYMENT}", GATEWAY), (PAYMENT, CHECKOUT, GATEWAY)),
        (("region:eu", PAYMENT), (PAYMENT,)),
        ((), (PAYMENT,)),
    ],
)
def test_what_is_no_node_stands_at_one(path: tuple[str, ...], way: tuple[str, ...]) -> None:
    watch = watch_in("incident")
    assert causal.way_of(watch.world, Hypothesis(PAYMENT, "slow_service", 0.5, path=path)) == way


def test_a_way_that_nobody_reports_any_more_is_said_in_words() -> None:
    watch = watch_in("incident")
    gone = Hypothesis("service:vanished", "bad_deploy", 0.9, path=("service:vanished", "service:ghost"))
    watch.say(NOW, e.CauseRanked("INC-7", (gone,), 0.1))
    assert drawn(watch) is None and "vanished → ghost" in text_of(page(watch))


def test_the_head_says_what_midwatch_did() -> None:
    watch = watch_in("incident")
    head = text_of(page(watch).partition("</header>\n")[2].partition("</header>")[0]).replace("\u00a0", " ")
    assert "midwatch Resized the pool of payment: size 20 : done, checking the effect" in head and "UTC" in head
    assert "midwatch has touched nothing" in text_of(page(watch_in("asking")))


# -- evidence --


def world_of(**rows: list[float]) -> World:
    """Series named ``subject|signal`` over steps that end at NOW."""
    steps = len(next(iter(rows.values())))
    index = SeriesIndex(*zip(*(key.split("|") for key in rows), strict=True))
    grid = SeriesSet(index, np.array(list(rows.values()), dtype=float), NOW - steps * STEP, STEP)
    base = watch_in("healthy").world
    services = {"instance:payment-eu-1": Entity("instance", "payment-eu-1", {"service": "payment"})}
    return replace(base, series=grid, entities={**base.entities, **services}, edges={})


CALM, ILL = [0.0] * 30, [1.0] * 30


@pytest.mark.parametrize(
    ("kind", "unit", "value", "rows", "name", "before", "since"),
    [
        ("saturation", "requests", 18, {f"{PAYMENT}|{s.POOL_WAITING}": [0.0] * 30 + [18.0] * 30}, "wait for", 0, 18),
        ("resource", "MB", 90, {f"instance:payment-eu-1|{s.MEMORY_BYTES}": [3e7] * 30 + [9e7] * 30}, "memory", 30, 90),
        ("queue", "seconds", 70, {f"{PAYMENT}|{s.QUEUE_LAG_SECONDS}": [1.0] * 30 + [70.0] * 30}, "oldest message", 1, 70),
        ("silence", "count", 1, {f"instance:payment-eu-1|{s.UP}": [1.0] * 30 + [np.nan] * 30}, "that report", 1, 0),
        ("traffic", "requests/s", 9, {f"{PAYMENT}|{s.REQUESTS}": [5.0] * 30 + [45.0] * 30}, "requests to", 1, 9),
        (
            "blame_errors", "count", 4,
            {f"{PAYMENT}|{s.REQUESTS}": [10.0] * 60, f"{PAYMENT}|{s.ERRORS}": [np.nan] * 30 + [4.0] * 30},
            "failing requests", 0, 0.4,
        ),
        (
            "blame_time", "ms", 90,
            {f"{PAYMENT}|{s.REQUESTS}": [10.0] * 60, f"{PAYMENT}|{s.TIME_MS}": [100.0] * 30 + [900.0] * 30},
            "mean time", 10, 90,
        ),
    ],
)  # fmt: skip
def test_evidence_finds_its_series(
    kind: str, unit: str, value: float, rows: dict[str, list[float]], name: str, before: float, since: float
) -> None:
    one = Evidence(kind, PAYMENT, "so", 2.0, value, 0.0, unit)
    trace = evidence.trace_of(world_of(**rows), one, NOW - 30 * STEP)
    assert trace is not None and name in trace.name
    assert np.median(trace.values[:30]) == pytest.approx(before)
    assert np.median(trace.values[30:]) == pytest.approx(since)


def test_where_several_series_could_be_meant_the_one_that_fits_the_number_is() -> None:
    rows = {
        f"{PAYMENT}|{s.CPU_RATIO}": [0.2] * 60,
        f"{PAYMENT}|{s.CPU_THROTTLED_RATIO}": [0.0] * 30 + [0.7] * 30,
        f"{PAYMENT}|{s.DISK_RATIO}": [0.4] * 60,
    }
    starved = Evidence("saturation", PAYMENT, "starved", 4.5, 0.7, 0.0, "ratio")
    full = replace_value(starved, 0.41)
    found = [evidence.trace_of(world_of(**rows), one, NOW - 30 * STEP) for one in (starved, full)]
    assert [trace.name.partition(",")[0] for trace in found if trace] == ["share of time without CPU", "disk in use"]


def replace_value(one: Evidence, value: float) -> Evidence:
    return with_(one, value=value)


def test_what_was_read_from_nothing_that_is_kept_has_no_plot() -> None:
    world = watch_in("incident").world
    for kind, entity in (("share", PAYMENT), ("lessons", PAYMENT), ("saturation", "service:nobody"), ("logs", GATEWAY)):
        assert evidence.trace_of(world, Evidence(kind, entity, "so", 1.0, 3.0, 0.0, "requests"), ONSET) is None
    old = Incident("INC-1", NOW - 9000, NOW - 9000, 2, "old")
    hypothesis = watch_in("incident").state.incidents["INC-7"].hypotheses[0]
    assert evidence.plots_of(world, old, hypothesis) == {}


def test_plots_on_the_page_mark_the_onset_and_the_change_and_say_the_same_in_words() -> None:
    text = page(watch_in("incident"))
    assert text.count('class="p p-moment"') == 4 and text.count(">onset</text>") == 4 and ">change</text>" in text
    assert "requests that wait for a connection, payment: 0 requests before, 18 requests since" in text_of(
        text.replace("\u00a0", " ")
    )
    assert 'role="img" aria-label="requests that wait' in text


def test_evidence_and_chart_of_a_service_agree_also_where_most_steps_have_no_failure() -> None:
    errors = [0.0] * 30 + [0.0, 0.0, 2.0] * 10
    world = world_of(**{f"{PAYMENT}|{s.REQUESTS}": [4.0] * 60, f"{PAYMENT}|{s.ERRORS}": errors})
    seen = Hypothesis(PAYMENT, "bad_deploy", 0.9, (Evidence("blame_errors", PAYMENT, "so", 2.0, 0.3, 0.0, "ratio"),))
    incident = Incident("INC-1", NOW, NOW - 29 * STEP, 2, "so", symptoms=(PAYMENT,))
    (drawn,) = evidence.plots_of(world, incident, seen).values()
    assert drawn.told.replace("\u00a0", " ") == "0 % before, 17 % since"
    chart = symptom_plots(world, incident)[0]
    highest = max(v for v in chart["lines"][0]["values"] if v is not None)
    assert f">{highest:.0f}\u00a0%</text>" in drawn.svg, "the same peak in both"


def test_of_trouble_that_is_over_the_numbers_are_of_while_it_lasted() -> None:
    watch = watch_in("resolved")
    incident = watch.state.incidents["INC-7"]
    drawn = evidence.plots_of(watch.world, incident, incident.hypotheses[0])
    assert drawn[0].told.replace("\u00a0", " ") == "0 requests before, 18 requests while it lasted"
    assert all("while it lasted" in plot.told for plot in drawn.values())


def test_steps_that_report_only_one_half_of_a_mean_do_not_lower_it() -> None:
    gone = np.nan
    spent = np.array([100.0, gone, 100.0, 100.0, gone, gone, 0.0, 0.0])
    found = charts.pooled(spent, np.array([10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0]))
    assert found[:2].tolist() == [10.0, 10.0] and np.isnan(found[2:]).all()


def test_the_words_of_a_mark_are_left_out_where_the_peak_s_stand() -> None:
    times, values = NOW + STEP * np.arange(100), np.array([5.0] * 50 + [0.0] * 50)
    marks = [(NOW + 50 * STEP, "onset"), (NOW + 5 * STEP, "change")]
    drawing = charts.moment_svg(times, values, STEP, marks, extreme=(5.0, "5 requests"), words="so")
    assert ">onset<" in drawing and ">change<" not in drawing and drawing.count('class="p-change"') == 2


@pytest.mark.parametrize(("values", "zero"), [((-4.0, -2.0), "top"), ((2.0, 4.0), "foot"), ((-4.0, 4.0), "middle")])
def test_the_line_at_zero_is_at_zero(values: tuple[float, float], zero: str) -> None:
    drawing = charts.moment_svg(NOW + STEP * np.arange(2), np.array(values), STEP, [], extreme=(4.0, "4"), words="so")
    y = float(re.findall(r'p-zero" d="M[\d.]+ ([\d.]+)H', drawing)[0])
    line = [float(one) for one in re.findall(r"[ML][\d.]+ ([\d.]+)H", drawing.partition("p-line")[2])]
    assert {"top": y < min(line), "foot": y > max(line), "middle": min(line) < y < max(line)}[zero]


def test_a_chart_says_its_numbers_as_people_do() -> None:
    made = charts.plot(
        np.arange(3.0), [("p99", np.array([1020.0, 1_234_567.0, 0.0456]), "bad")], unit="ms", title="p99"
    )
    assert made["summary"] == "now 0.0456 ms, peak 1,234,567 ms"


def test_a_gap_in_the_data_stays_a_gap_in_the_line() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0])
    drawing = charts.moment_svg(NOW + STEP * np.arange(4), values, STEP, [], extreme=(4.0, "4"), words="so")
    assert drawing.count('class="p-line p-info"') == 2
    nothing = charts.moment_svg(
        NOW + STEP * np.arange(2), np.full(2, np.nan), STEP, [(NOW, "<b>")], extreme=(0.0, ""), words="<i>"
    )
    assert "p-line" not in nothing and "<b>" not in nothing and "&lt;i&gt;" in nothing


# -- runner-up and record --


def test_why_not_the_runner_up_and_how_to_tell() -> None:
    text = text_of(page(watch_in("incident"))).replace("\u00a0", " ")
    assert "is 17.2 times as probable as" in text and "nothing of the kind" in text
    assert "To tell them apart, look at waiters on payment's pool" in text.replace("  ", " ")
    assert "It is not the second if other callers of shop-db are as fast as ever" in text


def test_without_history_it_says_so_and_with_it_how_often_it_was_right() -> None:
    assert "No history yet: of no verdict about as sure as this one" in text_of(page(watch_in("incident")))
    busy = watch_in("busy")
    text = text_of(page(busy)).replace("\u00a0", " ")
    near = [h for h in busy.state.hindsight if 0.76 <= h.probability <= 0.96]
    assert f"it was right {sum(h.right for h in near)} times of {len(near)}" in text and "of 21" in text


def test_without_a_cause_nothing_is_compared() -> None:
    text = text_of(page(watch_in("busy"), "INC-8"))
    assert "Don't know" in text and "runner-up" not in text and "trusted" not in text and "From the cause" not in text


# -- merging and splitting --


def press(watch: FakeWatch, at: str, **fields: str | list[str]) -> str:
    """Press a button of an incident's page; the page that comes then."""

    async def go() -> str:
        async with browser(watch) as client:
            csrf = csrf_of((await client.get(at)).text)
            headers = {"origin": "http://localhost"}
            answer = await client.post("/do", data={"csrf": csrf, "back": at, **fields}, headers=headers)
            assert answer.status_code == 303, answer.text
            return text_of((await client.get(answer.headers["location"])).text)

    return asyncio.run(go())


def test_a_part_is_split_off_with_a_tick_and_moved_with_a_choice() -> None:
    watch = watch_in("busy")
    here = "/incidents/INC-7"
    for wanted in ('type="checkbox" name="value" value="service:checkout"', 'name="into"', ">Merge it into INC-7<"):
        assert wanted in page(watch)
    check_document(page(watch))
    press(watch, here, verb="move", target="INC-7", into="INC-8", value=[CHECKOUT])
    assert CHECKOUT in watch.state.incidents["INC-8"].symptoms
    ident = f"INC-{watch.state.next_incident}"
    press(watch, "/incidents/INC-8", verb="split", target="INC-8", value=[CHECKOUT, "service:nothing"])
    assert ident not in watch.state.incidents, "a word that fits nothing splits nothing"
    told = press(watch, "/incidents/INC-8", verb="split", target="INC-8", value=[CHECKOUT])
    assert watch.state.incidents[ident].split_from == "INC-8" and "split from INC-8: checkout" in told
    assert "Taken out of INC-8" in text_of(page(watch, ident))


def test_an_acknowledgement_is_taken_back_on_the_page() -> None:
    watch, here = watch_in("busy"), "/incidents/INC-7"
    if not watch.state.incidents["INC-7"].acknowledged_by:
        press(watch, here, verb="ack", target="INC-7")
    assert ">Take it back<" in page(watch) and ">Acknowledge<" not in page(watch)
    told = press(watch, here, verb="unack", target="INC-7")
    assert "The acknowledgement of INC-7 was taken back" in told and "nobody has acknowledged" in told
    assert not watch.state.incidents["INC-7"].acknowledged_by and ">Acknowledge<" in page(watch)


def test_a_merge_leaves_a_page_that_leads_on() -> None:
    watch = watch_in("busy")
    told = press(watch, "/incidents/INC-7", verb="merge", target="INC-7", value="INC-8")
    assert "Includes INC-8" in told and "INC-8 became part of INC-7" in told
    gone = page(watch, "INC-8")
    assert "This is part of INC-7 since" in text_of(gone) and 'name="verb" value="split"' not in gone
    assert "part of INC-7" in text_of(get(watch, "/incidents").text)


def test_what_was_taught_is_said_and_so_is_why_it_stands_alone() -> None:
    text = text_of(page(watch_in("busy"), "INC-8"))
    assert "anna said on" in text and "checkout and search are separate (INC-120)" in text
    assert "kept out of INC-7" in text


def test_a_long_choice_is_not_cut_on_its_way() -> None:
    """Half a name may be another's; the desk refuses what is too long."""
    watch = watch_in("busy")
    press(watch, "/incidents/INC-7", verb="split", target="INC-7", value=["service:" + "a" * 2000, CHECKOUT])
    said = [one.event for one in watch.journal.entries if isinstance(one.event, e.CommandGiven)]
    assert said[-1].value.endswith(CHECKOUT)


def test_a_form_with_too_many_fields_is_refused() -> None:
    async def go() -> None:
        async with browser(watch_in("healthy")) as client:
            body = "&".join(f"value={n}" for n in range(500))
            answer = await client.post("/do", content=body, headers={"origin": "http://localhost"})
            assert answer.status_code == 413

    asyncio.run(go())


# -- who does what --


def test_roles_ticks_and_decisions_are_given_on_the_page() -> None:
    watch = watch_in("busy")
    here, step = "/incidents/INC-7", CHECKLISTS[watch.state.incidents["INC-7"].severity][0]
    before = page(watch)
    check_document(before)
    assert f'aria-label="Done: {step}"' in before and "None yet." in before and 'id="room-role"' in before
    press(watch, here, verb="role", target="INC-7", value=["commander", "Zo\u00eb K"])
    press(watch, here, verb="role", target="INC-7", value=["scribe", ""])
    press(watch, here, verb="tick", target="INC-7", value=step)
    press(watch, here, verb="task", target="INC-7", note="look at <the> replica", value="bo")
    press(watch, here, verb="task", target="INC-7", note="call the bank", value="")
    press(watch, here, verb="task_give", target="INC-7", value=["2", "cy"])
    press(watch, here, verb="task_done", target="INC-7", value="1")
    told = press(watch, here, verb="decide", target="INC-7", note="fail over <to> eu")
    roles = watch.state.rooms["INC-7"].roles
    assert roles["commander"] == "Zo\u00eb K" and "Commander Zo\u00eb K" in told and "scribe" in roles
    assert f"{step} done, " in told and "decided: fail over <to&gt; eu" in told
    after = page(watch)
    check_document(after)
    assert f'aria-label="Done: {step}"' not in after and "fail over &lt;to&gt; eu" in after
    assert "look at &lt;the&gt; replica" in after and "call the bank cy, since" in text_of(after)
    assert f'aria-label="Not done: {step}"' in after
    press(watch, here, verb="untick", target="INC-7", value=step)
    assert f'aria-label="Done: {step}"' in page(watch)
    press(watch, here, verb="tick", target="INC-7", value=step)
    over = page(watch_in("resolved"))
    assert "Who does what" not in over, "nobody did anything in it"
    press(watch, here, verb="resolve", target="INC-7")
    closed = page(watch)
    assert watch.state.incidents["INC-7"].phase == "resolved" and "Commander" in text_of(closed)
    assert 'id="room-role"' not in closed and 'id="room-decide"' not in closed and "not ticked" in closed


def test_how_bad_it_is_why_and_what_it_was_and_a_person_says_otherwise() -> None:
    watch, here = watch_in("busy"), "/incidents/INC-7"
    reason = watch.state.incidents["INC-7"].severity_reason
    assert "Was SEV" not in page(watch)
    milder = "milder for 10 min: 1 % or more of the requests are affected"
    watch.say(watch.now - 200, e.IncidentRated("INC-7", 3, milder))
    watch.memory = replace(watch.memory, easing={"INC-7": Easing(watch.now - 120, watch.now - 5, 4, "barely <any>")})
    shown = page(watch)
    check_document(shown)
    told = text_of(shown)
    assert milder in told and f"Was SEV2: {reason}." in told and "barely &lt;any&gt;" in shown
    assert re.search(r"SEV4 since .* by the facts: .* Rated so .*in 8 min.*, if that lasts", told)
    watch.memory = replace(watch.memory, easing={})
    press(watch, here, verb="severity", target="INC-7", value="1", note="the bank called")
    rated = watch.state.incidents["INC-7"]
    assert (rated.severity, rated.said_severity) == (1, 1)
    by_word = text_of(page(watch))
    assert f"{rated.said_by} said so: the bank called" in by_word and "word, until the facts are worse" in by_word


def test_the_war_room_is_a_link_or_a_reason() -> None:
    watch = watch_in("busy")
    order = e.WarRoomOrdered("INC-7", "open", "team", "inc-7-x")
    watch.say(watch.now - 90, order)
    assert "#inc-7-x, being opened" in text_of(page(watch))
    watch.say(watch.now - 80, e.WarRoomEnded("INC-7", "open", False, "the app lacks the scope channels:manage"))
    told = text_of(page(watch))
    assert "War room this page" in told and "the app lacks the scope channels:manage." in told
    assert re.search(r"channels:manage\. It is tried again at (yesterday )?\d\d:\d\d", told)
    made = e.WarRoomEnded("INC-7", "open", True, name="inc-7-x", place="C1", url="https://t.slack.com/archives/C1")
    invited = e.WarRoomOrdered("INC-7", "invite", "team", person="bo")
    watch.say(watch.now - 70, made, invited, e.WarRoomEnded("INC-7", "invite", False, "nobody says who bo is", "bo"))
    shown = page(watch)
    check_document(shown)
    assert '<a href="https://t.slack.com/archives/C1" rel="noreferrer">#inc-7-x</a>' in shown
    assert "bo could not be called in: nobody says who bo is." in text_of(shown)


def test_it_says_that_customers_hear_nothing_of_what_nobody_measured() -> None:
    words = "Customers are not told by themselves"
    assert words in page(watch_in("alerts"), "INC-1") and words not in page(watch_in("incident"))


def test_every_section_has_its_place_on_a_phone() -> None:
    """There the two columns become one list in the stylesheet's order, and a section without a place would come first."""
    folder = Path(charts.__file__).parent
    pages = "".join(one.read_text() for one in (folder / "templates").glob("incident*.html"))
    inside = set(re.findall(r'<section class="(s-[a-z]+)', pages)) - {"s-way"}  # which is above the columns
    sheet = (folder / "static" / "console.css").read_text()
    placed = {name for rule in re.findall(r"([^{}]*)\{ order:", sheet) for name in re.findall(r"\.(s-[a-z]+)", rule)}
    assert "s-why" in inside and inside <= placed
