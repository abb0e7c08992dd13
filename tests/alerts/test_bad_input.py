"""What is no alert, too much, or from nobody: the sender gets its API's own error, everybody else is served, nothing is lost
without a count, and no secret comes back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alerts.conftest import OnWatch, recorded_bodies, run

from midwatch.adapters.alerts import (
    alertmanager,
    cloudevents,
    generic,
    grafana,
    mail,
    opsgenie,
    opsgenie_views,
    pagerduty,
)
from midwatch.adapters.alerts.common import Decoded, Format, Rules
from midwatch.faces.api.opsgenie_routes import OpsgenieRoutes
from midwatch.model.alerts import MAX_KEY, MAX_LABELS, MAX_NAME, MAX_SUMMARY
from midwatch.model.errors import IngestError

NOW = 1_795_424_300.0
FORMATS: dict[str, Format] = {
    "/v2/enqueue": pagerduty.FORMAT,
    "/v2/change/enqueue": pagerduty.CHANGES,
    "/in/alertmanager": alertmanager.FORMAT,
    "/in/grafana": grafana.FORMAT,
    "/in/cloudevents": cloudevents.FORMAT,
    "/in/json": generic.FORMAT,
    "/in/email": mail.FORMAT,
    "/v2/alerts": OpsgenieRoutes(dict, lambda: NOW).spoken("POST", "/v2/alerts", ""),
    "/v2/alerts/a/close": OpsgenieRoutes(dict, lambda: NOW).spoken("POST", "/v2/alerts/a/close", ""),
}


def _headers(on: OnWatch, path: str, **more: str) -> dict[str, str]:
    scheme = "GenieKey" if path.startswith("/v2/alerts") else "Bearer"
    key = on.keys.get(FORMATS[path].kind, "")
    return {"Authorization": f"{scheme} {key}", "Content-Type": "application/json", **more}


def _body(on: OnWatch, path: str, **more: Any) -> bytes:
    key = {"routing_key": on.keys["pagerduty"]} if path.startswith("/v2/") and "alerts" not in path else {}
    return json.dumps({**key, **more}).encode()


def test_what_was_left_out_of_one_request_is_counted_and_one_line_of_the_log(
    on_watch: Callable[..., OnWatch], caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url) as client:
            many = json.dumps([{"nothing": "of use"}] * 500)
            answer = await client.post("/in/json", content=many, headers=_headers(on, "/in/json"))
            assert answer.json()["accepted"] == 0 and len(answer.json()["left_out"]) == 20
            assert on.watch.inbox.dropped["json", "could not be read"] == 500

    run(go())
    (line,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "alert 0" in line and "and 499 more" in line


def test_each_sender_gets_the_error_of_its_own_api(on_watch: Callable[..., OnWatch]) -> None:
    """10 MB, no JSON, a broken gzip, no key, a wrong one: refused with the documented body; the next one is served."""

    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url, timeout=30) as client:
            for path, spoken in FORMATS.items():
                good = _headers(on, path)
                large = await client.post(path, content=_body(on, path, pad="x" * 10_000_000), headers=good)
                _documented(spoken, large, {400, 413})
                broken = gzip.compress(b"{}" * 1000)[:-20]
                _documented(
                    spoken, await client.post(path, content=broken, headers={**good, "Content-Encoding": "gzip"}), {400}
                )
                bomb = gzip.compress(b" " * 60_000_000)
                answer = await client.post(path, content=bomb, headers={**good, "Content-Encoding": "gzip"})
                _documented(spoken, answer, {400, 413})
                for said in ({}, {"Authorization": "Bearer nobody-has-this-key-at-all"}):
                    answer = await client.post(
                        path, content=b'{"routing_key": "nobody-has-this-key-at-all"}', headers=said
                    )
                    _documented(spoken, answer, {400} if spoken.kind == "pagerduty" else {401})
                if spoken.kind not in (
                    "email",
                    "pagerduty",
                ):  # any text is a mail; there, a key that cannot be found is first
                    for junk in (b"\xff\xfe", b"[[[[", b"7", b"[" * 100_000):
                        _documented(spoken, await client.post(path, content=junk, headers=good), {400, 422})
            assert not on.watch.state.alerts
            counted = {why for _, why in on.watch.inbox.dropped}
            assert {"refused with 413", "refused with 401", "refused with 400"} <= counted
            ok = await client.post(
                "/in/alertmanager", content=recorded_bodies()[0], headers=_headers(on, "/in/alertmanager")
            )
            assert ok.json()["accepted"] == 2

    run(go())


def _documented(spoken: Format, answer: httpx.Response, statuses: set[int]) -> None:
    assert answer.status_code in statuses, (spoken.kind, answer.status_code, answer.text[:300])
    told = answer.json()
    match spoken.kind:
        case "pagerduty":
            assert told["status"] == "invalid event" and told["message"] == "Event object is invalid" and told["errors"]
        case "opsgenie":
            assert told["message"] and told["requestId"] and told["took"] >= 0
        case _:
            assert told["error"]


def test_what_lacks_something_is_told_what(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url) as client:
            event = _body(on, "/v2/enqueue", event_action="trigger", payload={"severity": "dire"}, dedup_key="k" * 300)
            told = (await client.post("/v2/enqueue", content=event)).json()
            assert "'payload.summary' is missing or blank" in told["errors"] and len(told["errors"]) == 4
            body = b'{"message": " ", "priority": "P9", "alias": "x"}'
            answer = await client.post("/v2/alerts", content=body, headers=_headers(on, "/v2/alerts"))
            assert answer.status_code == 422 and set(answer.json()["errors"]) == {"message", "priority"}
            assert (await client.post("/v2/alerts/x/snooze", headers=_headers(on, "/v2/alerts"))).status_code == 403
            assert (await client.get("/v2/alerts?limit=1000", headers=_headers(on, "/v2/alerts"))).status_code == 422
            assert (await client.get("/v2/alerts?query=owner:x", headers=_headers(on, "/v2/alerts"))).status_code == 422
            assert (await client.get("/v2/enqueue")).status_code == 405

    run(go())


def test_a_flood_from_one_key_is_told_to_wait_and_others_are_served(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        few = {"per_minute": 10}
        options = {"pagerduty": few, "opsgenie": few, "alertmanager": few}
        async with on_watch(integrations=options) as on, httpx.AsyncClient(base_url=on.url) as client:
            payload = {"summary": "s", "source": "h", "severity": "error"}
            statuses = []
            for n in range(30):
                event = _body(on, "/v2/enqueue", event_action="trigger", payload=payload, dedup_key=f"k{n}")
                answer = await client.post("/v2/enqueue", content=event)
                statuses.append(answer.status_code)
            assert statuses[:10] == [202] * 10 and set(statuses[12:]) == {429}
            assert answer.json()["status"] == "throttle exceeded" and int(answer.headers["retry-after"]) > 0
            for _ in range(15):
                said = {"message": "m", "alias": "a"}
                answer = await client.post("/v2/alerts", json=said, headers=_headers(on, "/v2/alerts"))
            assert answer.status_code == 429 and answer.json()["message"] == "You are making too many requests!"
            for _ in range(9):
                hook = _headers(on, "/in/alertmanager")
                answer = await client.post("/in/alertmanager", content=recorded_bodies()[0], headers=hook)
            assert answer.status_code == 503, "Alertmanager tries again after 5xx only"
            other = await client.post("/in/json", json={"name": "calm"}, headers=_headers(on, "/in/json"))
            assert other.status_code == 200
            assert on.watch.inbox.dropped["pagerduty", "more than it may send in a minute"] >= 18
            senders = (await client.get("/api/v1/senders")).json()
            assert any("more than it may send in a minute" in one["dropped"] for one in senders)
            assert 'why="more than it may send in a minute"' in (await client.get("/metrics")).text

    run(go())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
WORDS = st.sampled_from(
    ["alerts", "status", "labels", "annotations", "startsAt", "version", "values", "event_action", "payload", "summary",
     "severity", "source", "dedup_key", "custom_details", "message", "alias", "priority", "details", "tags", "note", "id",
     "type", "specversion", "data", "data_base64", "subject", "time", "state", "name", "key", "trigger", "firing",
     "resolved",
     "1.0", "4", "P1", "error", "2026-11-23T08:56:16Z", "entity", "service", "timestamp", "links", "at", "since"]
)  # fmt: skip
NEARLY = st.recursive(
    WORDS | st.none() | st.floats() | st.text(max_size=2000) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=8),
    max_leaves=30,
)


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


BODIES = st.binary(max_size=400) | JSON.map(_encoded) | NEARLY.map(_encoded)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            [
                "application/json",
                "application/cloudevents+json",
                "application/cloudevents-batch+json",
                "text/plain",
                "a/b",
            ]
        ),
        "ce-id": st.text(max_size=9),
        "ce-source": st.text(max_size=9),
        "ce-type": st.sampled_from(["a.b.resolved", "x", "", "."]),
        "ce-specversion": st.sampled_from(["1.0", "0.3"]),
    },
)


@pytest.mark.parametrize("path", FORMATS)
@settings(max_examples=150, deadline=None)
@given(body=BODIES, headers=HEADERS)
def test_no_decoder_breaks_and_none_lets_through_what_is_too_long(
    path: str, body: bytes, headers: dict[str, str]
) -> None:
    """Whatever comes: bounded alerts, or an IngestError that becomes an answer."""
    spoken = FORMATS[path]
    rules = Rules("them", {"dire": 1}, "billing", {})
    spoken.key_of(headers, body)
    try:
        decoded = spoken.decode(body, headers, rules, NOW)
    except IngestError as problem:
        assert 400 <= spoken.refused(problem).status < 500
        return
    assert isinstance(decoded, Decoded)
    for one in decoded.alerts:
        assert one.key.startswith("them:") and len(one.key) <= MAX_KEY and len(one.name) <= MAX_NAME
        assert len(one.summary) <= MAX_SUMMARY and len(one.labels) <= MAX_LABELS and 1 <= one.severity <= 5
        assert one.state in ("firing", "resolved", "acknowledged") and one.at <= NOW and one.since_at <= NOW + 300
        assert all(link.startswith(("http://", "https://")) for link in one.links)
        assert (one.name + one.by + "".join(one.labels.values())).replace("\n", "").isprintable() or one.name == ""
    if decoded.alerts or decoded.changes:
        assert spoken.accepted(decoded).status in (200, 202)


@settings(max_examples=100, deadline=None)
@given(query=st.text(max_size=60), offset=st.text(max_size=5), sort=st.text(max_size=9))
def test_whatever_a_list_is_asked(query: str, offset: str, sort: str) -> None:
    try:
        opsgenie_views.page([], {"query": query, "offset": offset or "0", "sort": sort or "createdAt"})
    except IngestError as problem:
        assert opsgenie.refused(problem).status == 422


def test_what_a_change_says_besides_is_left_alone() -> None:
    """The document promises that fields which it does not name are taken, whatever they hold."""
    said = {"payload": {"summary": "deployed", "severity": ["info"], "class": 7, "group": None}, "client": 1}
    (change,) = pagerduty.decode_change(json.dumps(said).encode(), {}, Rules("ci"), NOW).changes
    assert (change.summary, change.kind) == ("deployed", "deploy")
