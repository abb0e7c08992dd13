"""Slack against a contract fake: what is said, in which bounds, how refusals are told, and whose buttons are believed."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.adapters.channels import pace
from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack import blocks, commands, interact
from midwatch.adapters.channels.slack.channel import SlackChannel
from midwatch.adapters.channels.slack.commands import Said
from midwatch.adapters.fakes.server import Answer
from midwatch.adapters.fakes.slack import FakeSlack, _wrong
from midwatch.adapters.testing import check_channel_delivers, check_channel_failure, check_channel_in_time, sample_page
from midwatch.model.errors import ChannelError, RateLimited
from midwatch.model.standing import Asked, Standing

NOW = 1_790_000_000.0
STANDING = Standing("INC-1", 2, "SEV2 INC-1: payment fails", "Elevated error rates in payment.", "open")
ASKED = (Asked("ACT-3", "restart payment"), Asked("ACT-4", "drop the replica", two_people=True))


def slack(fake: FakeSlack, **options: object) -> SlackChannel:
    values: dict[str, object] = {"api_url": f"{fake.url}/api", "pace": Pace(), **options}
    return SlackChannel("team", lambda: fake.token, fake.conversation, **values)  # type: ignore[arg-type]


def test_a_page_arrives_with_its_key() -> None:
    with FakeSlack() as fake:
        page = sample_page()
        received = lambda: [json.dumps(m, ensure_ascii=False) for m in fake.messages.values()]  # noqa: E731
        asyncio.run(check_channel_delivers(slack(fake), page, received))
        assert fake.messages["1790000000.000001"]["metadata"]["event_payload"] == {"key": page.key, "incident": "INC-1"}


def test_nobody_who_is_woken_waits_for_others_or_for_news(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s")

    async def go(fake: FakeSlack) -> None:
        channel = slack(fake, pace=Pace(1.0, 2, clock=lambda: 100.0))
        places = [await channel.page(sample_page(f"k/{n}", to=f"U{n}00"), STANDING, "") for n in range(5)]
        await channel.follow(STANDING, places[0])
        await channel.follow(STANDING, places[1])
        for place in places:
            await channel.page(sample_page(f"again/{place}"), STANDING, place)
        with pytest.raises(AssertionError, match="waits 1"):
            await channel.follow(STANDING, places[2])

    monkeypatch.setattr(pace.asyncio, "sleep", wait)
    with FakeSlack() as fake:
        asyncio.run(go(fake))


def test_an_incident_is_one_message_with_a_thread() -> None:
    async def go(fake: FakeSlack) -> None:
        channel = slack(fake, mention="<!here>")
        place = await channel.page(sample_page(), STANDING, "")
        assert await channel.page(sample_page("INC-1/sev2/1", repeat=1), STANDING, place) == place
        news = Standing(
            "INC-1",
            1,
            "SEV1 INC-1: payment <!channel> & co",
            "Half of it fails.",
            "open",
            "ana",
            ASKED,
            ("ana said yes.",),
        )
        await channel.follow(news, place)

    with FakeSlack() as fake:
        asyncio.run(go(fake))
        (root,) = fake.roots
        again, told = fake.thread()
        assert again["reply_broadcast"] and "<!here>" in json.dumps(again) and "INC-1/sev2/1" in json.dumps(again)
        assert told["text"] == "ana said yes." and "reply_broadcast" not in told
        assert (
            "acknowledged by ana" in json.dumps(root)
            and root["text"] == "SEV1 INC-1: payment &lt;!channel&gt; &amp; co"
        )
        labels = [e["text"]["text"] for b in root["blocks"] for e in b.get("elements", ()) if e["type"] == "button"]
        assert labels == ["Escalate", "Approve ACT-3", "Refuse ACT-3", "Approve ACT-4", "Refuse ACT-4"]
        assert "needs two people" in json.dumps(root)


def test_when_it_is_over_there_is_nothing_left_to_press() -> None:
    async def go(fake: FakeSlack) -> None:
        place = await slack(fake).page(sample_page(), STANDING, "")
        await slack(fake).follow(Standing("INC-1", 2, "Resolved INC-1: payment", "Over.", "resolved", "ana"), place)
        del fake.messages[place.partition(":")[2]]
        await slack(fake).follow(STANDING, place)  # somebody deleted the message: no reason to fail

    with FakeSlack() as fake:
        asyncio.run(go(fake))
        assert not fake.roots
        assert "button" not in fake.requests[1].body.decode()


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        (Answer(200, {"ok": False, "error": "not_in_channel"}), False),
        (Answer(200, {"ok": False, "error": "invalid_auth"}), False),
        (Answer(200, {"ok": False, "error": "fatal_error"}), True),
        (Answer(200, {"ok": False, "error": "ratelimited"}), True),
        (Answer(200, ["no", "object"]), False),
        (Answer(503), True),
        (Answer(404, {"error": "xoxb-fake"}), False),
    ],
)
def test_a_refusal_says_why_and_whether_to_try_again(answer: Answer, retryable: bool) -> None:
    with FakeSlack() as fake:
        fake.answers.append(answer)
        asyncio.run(check_channel_failure(slack(fake), sample_page(), retryable=retryable, secrets=[fake.token]))


def test_retry_after_holds_for_every_page_of_the_channel() -> None:
    async def go(fake: FakeSlack) -> None:
        fake.answers.append(Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "30"}))
        channel = slack(fake)
        with pytest.raises(RateLimited) as first:
            await channel.send(sample_page())
        assert first.value.retry_after_seconds == 30
        with pytest.raises(ChannelError) as other:
            await channel.send(sample_page("INC-2/sev1/0", incident="INC-2"))
        assert other.value.retry_after_seconds is not None and 25 < other.value.retry_after_seconds <= 30

    with FakeSlack() as fake:
        asyncio.run(go(fake))
        assert len(fake.requests) == 1, "it was told not to come back yet"


def test_a_silent_slack_is_given_up_in_time() -> None:
    from midwatch.adapters.testing import Receiver

    with Receiver(silent_seconds=3) as receiver:
        channel = SlackChannel("team", lambda: "t", "C0", api_url=receiver.url, timeout_seconds=0.3, pace=Pace())
        asyncio.run(check_channel_in_time(lambda: channel.send(sample_page()), 0.3))


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=12_000),
    st.text(max_size=400),
    st.lists(st.builds(Asked, st.from_regex(r"ACT-[0-9]{1,190}", fullmatch=True), st.text(max_size=400)), max_size=12),
)
def test_whatever_it_says_slack_takes_it(text: str, subject: str, asked: list[Asked]) -> None:
    unique = tuple({one.action: one for one in asked}.values())
    links = (("Incident", f"https://x/{'i' * 2900}"), ("Runbook", "https://x/r"))
    shown = Standing("INC-1", 2, subject, text, "open", asked=unique, links=links)
    assert _wrong({"text": "x", "blocks": blocks.root(shown, text, "k" * 900, "<!here>")}) == ""
    assert _wrong({"text": "x", "blocks": blocks.reply(shown, text, "k" * 900)}) == ""


def test_the_longest_message_fits() -> None:
    asked = tuple(Asked(f"ACT-{n}" + "9" * 100, "w" * 5000, two_people=True) for n in range(20))
    shown = Standing("INC-1", 1, "s" * 5000, "t" * 50_000, "mitigating", "a" * 500, asked)
    assert _wrong({"text": "x", "blocks": blocks.root(shown, "t" * 50_000, "k" * 900, "<!here>")}) == ""


# -- buttons --


def test_only_what_slack_signed_just_now_is_believed() -> None:
    body = b"payload=%7B%7D"
    stamp = f"{NOW:.0f}"
    good = interact.sign("shhh", stamp, body)
    # The example of docs.slack.dev/authentication/verifying-requests-from-slack, computed with its secret and body.
    assert interact.sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", SLACKS_EXAMPLE) == SLACKS_SIGNATURE
    assert interact.verify("shhh", stamp, body, good, NOW + 299) == ""
    assert "five minutes" in interact.verify("shhh", stamp, body, good, NOW + 301)
    assert "five minutes" in interact.verify("shhh", stamp, body, good, NOW - 301)
    assert "not right" in interact.verify("shhh", stamp, body + b"x", good, NOW)
    assert "not right" in interact.verify("other", stamp, body, good, NOW)
    assert "not right" in interact.verify("shhh", stamp, body, "v0=\udcff", NOW)
    assert "no number" in interact.verify("shhh", "soon", body, good, NOW)
    assert "no signing secret" in interact.verify("", stamp, body, interact.sign("", stamp, body), NOW)


SLACKS_EXAMPLE = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121"
    b".803a0bc887a14d10d2c447fce8b6703c"
)
SLACKS_SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def test_a_signature_counts_once() -> None:
    seen = interact.Seen(most=2)
    assert not seen.again("a", NOW) and seen.again("a", NOW + 1)
    assert not seen.again("b", NOW + 2)
    assert seen.again("c", NOW + 3), "full: refused rather than forgotten"
    assert not seen.again("c", NOW + 700)


def test_only_buttons_of_ours_are_read() -> None:
    with FakeSlack() as fake:
        asyncio.run(slack(fake).page(sample_page(), STANDING, ""))
        body, _ = fake.press("Acknowledge", NOW)
        assert interact.pressed(body) == interact.Pressed("ack", "INC-1", "U0ANA", "u0ana", f"{fake.url}/answer/1")

    def of(payload: object) -> interact.Pressed | None:
        return interact.pressed(urlencode({"payload": json.dumps(payload)}).encode())

    user = {"id": "U1"}
    assert of({"type": "view_submission"}) is None
    assert of({"type": "block_actions", "actions": [{"action_id": "other/ack/INC-1"}], "user": user}) is None
    assert of({"type": "block_actions", "actions": [{"action_id": "midwatch/hands_on/x"}], "user": user}) is None
    assert of({"type": "block_actions", "actions": [7], "user": user}) is None
    for wrong in (b"", b"payload=%7B", b"payload=[]", b"\xff=", b"payload=" + b"1" * 10):
        with pytest.raises(ValueError):
            interact.pressed(wrong)
    with pytest.raises(ValueError):
        interact.pressed(urlencode({"payload": "[" * 60_000}).encode())


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.just("midwatch/ack/INC-1"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "actions", "user", "action_id", "id", "response_url"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["type", "actions", "user", "response_url"]), ANY | st.just("block_actions")))
def test_whatever_is_signed_is_a_button_or_nothing(payload: dict[str, object]) -> None:
    found = interact.pressed(urlencode({"payload": json.dumps(payload)}).encode())
    assert found is None or (found.verb in interact.VERBS and found.target)


# -- what is typed --

PEOPLE = {"U0ANA": "ana", "U0ZOE": "Zo\u00eb K"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", Said("help")),
        ("Role commander <@U0ZOE|zoe>", Said("role", "", "commander Zo\u00eb\u00a0K")),
        ("role INC-007 scribe -", Said("role", "7", "scribe -")),
        ("role 7 scribe @ada", Said("role", "7", "scribe ada")),
        ("role commander <@U0NEW|new.hire>", Said("role", "", "commander new.hire")),
        ("decide  fail over   to <#C0EU|eu> &amp; wait", Said("decide", note="fail over to eu & wait")),
        ("decide 2 hosts go", Said("decide", note="2 hosts go")),
        ("decide inc-12 go", Said("decide", "12", note="go")),
        ("decide", Said("decide", why="the words are missing")),
        ("tick 2", Said("tick", "", "2")),
        ("untick inc-3 2", Said("untick", "3", "2")),
        ("ack 3", Said("ack", "3")),
        ("ack", Said("ack")),
        ("resolve INC-3 it was DNS", Said("resolve", "3", note="it was DNS")),
        ("severity 2 only <https://x.example|batch> jobs", Said("severity", "", "2", "only https://x.example jobs")),
        ("severity INC-4 -", Said("severity", "4", "-")),
        ("task <@U0ANA> ask the bank", Said("task", "", "ana", "ask the bank")),
        ("task ask the bank", Said("task", note="ask the bank")),
        ("task <@U0ANA>", Said("task", "", "ana", why="what is to be done is missing")),
        ("give 3", Said("task_give", "", "3")),
        ("give 3 <@U0ANA>", Said("task_give", "", "3 ana")),
        ("done 3", Said("task_done", "", "3")),
        ("dance", Said("dance", why="there is no 'dance'")),
    ],
)
def test_what_a_slash_command_says(text: str, said: Said) -> None:
    assert commands.read(text, PEOPLE) == said


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_whatever_is_typed_is_read(text: str) -> None:
    body, _ = FakeSlack().slash(text, NOW)
    typed = commands.typed(body)
    assert typed is not None and (typed.user, typed.channel) == ("U0ANA", "C0INCIDENTS")
    said = commands.read(typed.text, PEOPLE)
    assert said.why or said.verb in {"help", *commands.USAGE, *commands.VERBS.values()}


def test_a_look_at_the_certificate_and_what_is_no_command() -> None:
    assert commands.typed(b"ssl_check=1&token=x") is not None
    assert commands.typed(urlencode({"payload": "{}"}).encode()) is None
    with pytest.raises(ValueError, match="utf-8"):
        commands.typed(b"\xff")
