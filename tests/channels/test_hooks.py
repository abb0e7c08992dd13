"""What PagerDuty and Opsgenie send back: as documented, and whatever else may come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.adapters.channels import opsgenie_hook, pagerduty_hook
from midwatch.adapters.channels.heard import MAX_TEXT, Heard, Who
from midwatch.adapters.fakes.opsgenie import FakeOpsgenie
from midwatch.adapters.fakes.pagerduty import FakePagerDuty
from midwatch.model.people import Contact, People, Person

AT = 1_790_000_000.0
VERBS = {"", "ack", "unack", "resolve", "note", "role"}


def pagerduty(body: bytes) -> Heard:
    return pagerduty_hook.decode(body, "midwatch")


def opsgenie(body: bytes) -> Heard:
    return opsgenie_hook.decode(body, "midwatch")


@pytest.mark.parametrize(
    ("what", "how", "verb", "why"),
    [
        ("acknowledged", {}, "ack", ""),
        ("unacknowledged", {"user": None}, "unack", ""),
        ("resolved", {}, "resolve", ""),
        ("resolved", {"merged": True}, "", "it became part of another incident there"),
        ("resolved", {"user": None}, "", "no person did it"),
        ("reassigned", {"to": ("PBO", "Bo")}, "role", ""),
        ("annotated", {"note": "  "}, "", "it says nothing"),
        ("escalated", {}, "", "incident.escalated changes nothing here"),
    ],
)
def test_what_was_done_in_pagerduty(what: str, how: dict[str, Any], verb: str, why: str) -> None:
    fake = FakePagerDuty()
    body, headers = fake.does(what, "shop/INC-1", AT, **how)
    lower = {name.lower(): value for name, value in headers.items()}
    assert pagerduty_hook.verify(fake.webhook_secrets[0], lower, body) == ""
    heard = pagerduty(body)
    assert (heard.verb, heard.why, heard.at) == (verb, why, AT)
    assert heard.place == ("" if what == "annotated" else "shop/INC-1") and heard.title == "shop/INC-1"
    assert heard.by == (None if how.get("user", 1) is None else Who("PLH1HKV", "", "Ana Silva"))
    assert heard.to == (Who("PBO", "", "Bo") if what == "reassigned" else None)


def test_a_signature_is_over_these_bytes_and_by_one_of_the_secrets() -> None:
    fake = FakePagerDuty()
    fake.webhook_secrets = ["old" * 10, "new" * 10]
    body, headers = fake.does("acknowledged", "shop/INC-1", AT)
    lower = {name.lower(): value for name, value in headers.items()}
    assert [pagerduty_hook.verify(s, lower, body) for s in fake.webhook_secrets] == ["", ""]
    for secret, given_headers, given_body in (
        ("other", lower, body), ("", lower, body), ("old" * 10, {}, body), ("old" * 10, lower, body + b"\n"),
        ("old" * 10, {"x-pagerduty-signature": "v0=" + lower["x-pagerduty-signature"][3:]}, body),
        ("old" * 10, {"x-pagerduty-signature": ",".join(["v1=\u00fc"] * 5)}, body),
    ):  # fmt: skip
        assert pagerduty_hook.verify(secret, given_headers, given_body)


@pytest.mark.parametrize(
    ("action", "how", "verb", "why"),
    [
        ("Acknowledge", {}, "ack", ""),
        ("UnAcknowledge", {}, "unack", ""),
        ("UnAcknowledge", {"user": "System"}, "unack", ""),
        ("Close", {}, "resolve", ""),
        ("Close", {"user": "System"}, "", "no person did it"),
        ("AddNote", {"note": "note to test alert"}, "note", ""),
        ("AssignOwnership", {"owner": "bo@example.org"}, "role", ""),
        ("AssignOwnership", {}, "", "nobody got it"),
        ("TakeOwnership", {}, "role", ""),
        ("Acknowledge", {"through": "api", "name": "midwatch"}, "", "midwatch did it"),
        ("Acknowledge", {"through": "API", "name": "a script"}, "ack", ""),
        ("AddTags", {}, "", "AddTags changes nothing here"),
    ],
)
def test_what_was_done_in_opsgenie(action: str, how: dict[str, Any], verb: str, why: str) -> None:
    fake = FakeOpsgenie()
    for basic in (True, False):
        body, headers = fake.does(action, "shop/INC-1", AT, basic=basic, **how)
        lower = {name.lower(): value for name, value in headers.items()}
        assert opsgenie_hook.verify(fake.webhook_secret, lower, body) == ""
        assert opsgenie_hook.verify("o" * 24, lower, body) and opsgenie_hook.verify("", lower, body)
        short = {"authorization": "Bearer hunter2"}
        assert "shorter than 16" in opsgenie_hook.verify("hunter2", short, body)
    heard = opsgenie(body)
    assert (heard.verb, heard.why, heard.place, heard.text) == (verb, why, "shop/INC-1", how.get("note", ""))
    assert heard.at == pytest.approx(AT)
    assert (heard.by.email if heard.by else "") == ("" if how.get("user") == "System" else "ana@example.org")
    if verb == "role":
        assert heard.to is not None and heard.to.email == how.get("owner", "ana@example.org")


def test_milliseconds_are_understood_and_one_action_has_one_key() -> None:
    alert = {"alertId": "a", "alias": "x", "username": "ana@example.org", "updatedAt": int(AT * 1000)}
    one = opsgenie(json.dumps({"action": "Close", "alert": alert}).encode())
    assert one.at == AT and one.key == opsgenie(json.dumps({"action": "Close", "alert": alert}).encode()).key
    assert one.key != opsgenie(json.dumps({"action": "Close", "alert": {**alert, "updatedAt": 1}}).encode()).key
    assert opsgenie(json.dumps({"action": "Close", "alert": {**alert, "updatedAt": "soon"}}).encode()).at == 0.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=10), some, max_size=4),
    max_leaves=10,
)
PD_KEYS = ("id", "event_type", "occurred_at", "agent", "data", "type", "summary", "incident_key", "assignees",
           "resolve_reason", "content", "incident", "title")  # fmt: skip
OG_KEYS = ("action", "alert", "source", "alertId", "alias", "username", "userId", "owner", "note", "updatedAt", "type")
KINDS = st.sampled_from([*pagerduty_hook.VERBS, *opsgenie_hook.VERBS, "user_reference", "api"])


def shaped(keys: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Objects with the names that are looked for, and anything in them."""
    leaf = JSON | KINDS
    inner = st.dictionaries(st.sampled_from(keys), leaf, max_size=8)
    return st.dictionaries(st.sampled_from(keys), leaf | inner | st.lists(inner, max_size=2), max_size=8)


def bounded(heard: Heard) -> bool:
    texts = (heard.key, heard.place, heard.title, heard.text, heard.why, heard.incident)
    people = [text for who in (heard.by, heard.to) if who for text in (who.ident, who.email, who.name)]
    fits = all(len(text) <= max(1024, MAX_TEXT) for text in (*texts, *people))
    plain = all(c.isprintable() or c == "\n" for text in (*texts, *people) for c in text)
    return (
        heard.verb in VERBS
        and bool(heard.key)
        and fits
        and plain
        and (heard.by is not None or heard.verb in ("", "unack"))
    )


@settings(max_examples=100, deadline=None)
@given(shaped(PD_KEYS), st.booleans())
def test_whatever_pagerduty_sends_is_read_or_refused(event: Any, wrapped: bool) -> None:
    try:
        heard = pagerduty(json.dumps({"event": event} if wrapped else event).encode())
    except ValueError:
        return
    assert bounded(heard)


@settings(max_examples=100, deadline=None)
@given(shaped(OG_KEYS), shaped(OG_KEYS))
def test_whatever_opsgenie_sends_is_read_or_refused(outer: Any, alert: Any) -> None:
    try:
        heard = opsgenie(json.dumps({**outer, "alert": alert}).encode())
    except ValueError:
        return
    assert bounded(heard)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(body: bytes) -> None:
    for decode in (pagerduty, opsgenie):
        with pytest.raises(ValueError, match=r"the body is no JSON|no V3 event|no alert action"):
            decode(body)


def test_who_is_meant_is_one_person_or_nobody() -> None:
    both = (Contact("mail", "team@example.org"),)
    people = People(
        (
            Person("ana", contacts=(*both, Contact("mail", "Ana@example.org")), known_as=("PANA",)),
            Person("bo", contacts=both),
        )
    )
    found = [
        people.known(*names) for names in (("PANA",), ("", "ana@EXAMPLE.org"), ("team@example.org",), ("",), ("x", "y"))
    ]
    assert [person.ident if person else "" for person in found] == ["ana", "ana", "", "", ""]
