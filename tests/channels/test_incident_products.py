"""PagerDuty and Opsgenie as a client, against contract fakes: one incident is one alert there, whatever is said twice."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from midwatch.adapters.channels.opsgenie import OpsgenieChannel
from midwatch.adapters.channels.pagerduty import PagerDutyChannel
from midwatch.adapters.fakes.opsgenie import FakeOpsgenie
from midwatch.adapters.fakes.pagerduty import FakePagerDuty
from midwatch.adapters.fakes.server import Answer, FakeApi
from midwatch.adapters.testing import (
    Receiver,
    check_channel_delivers,
    check_channel_failure,
    check_channel_in_time,
    sample_page,
)
from midwatch.model.errors import RateLimited
from midwatch.model.standing import Standing

OPEN = Standing("INC-1", 2, "SEV2 INC-1: payment fails", "15 % fail.", "open")
TAKEN = Standing("INC-1", 2, "SEV2 INC-1: payment fails", "15 % fail.", "mitigating", "ana")
LINKS = (("Incident", "https://midwatch.example/incidents/INC-1"), ("Runbook", "https://runbooks.example/pay"))
OVER = Standing("INC-1", 2, "Resolved INC-1: payment fails", "Over.", "resolved", "ana")

Both = tuple[FakePagerDuty | FakeOpsgenie, PagerDutyChannel | OpsgenieChannel]


def pagerduty(fake: FakePagerDuty, **options: object) -> PagerDutyChannel:
    return PagerDutyChannel("pd", lambda: fake.routing_key, **{"api_url": fake.url, **options})  # type: ignore[arg-type]


def opsgenie(fake: FakeOpsgenie, **options: object) -> OpsgenieChannel:
    return OpsgenieChannel("og", lambda: fake.api_key, **{"api_url": fake.url, **options})  # type: ignore[arg-type]


def received(fake: FakeApi) -> list[str]:
    return [json.dumps(one.read, ensure_ascii=False) for one in fake.requests]


async def a_life(channel: PagerDutyChannel | OpsgenieChannel, fake: FakePagerDuty | FakeOpsgenie) -> list[str]:
    """How the one alert stands after each step."""
    seen = []
    place = await channel.page(sample_page(), OPEN, "")
    seen.append(fake.alerts[place])
    assert await channel.page(sample_page("INC-1/sev2/1", repeat=1), OPEN, place) == place
    seen.append(fake.alerts[place])
    await channel.follow(OPEN, place)
    seen.append(fake.alerts[place])
    await channel.follow(TAKEN, place)
    seen.append(fake.alerts[place])
    await channel.page(sample_page("INC-1/sev2/2", repeat=2), TAKEN, place)  # a new topic: still in hand
    seen.append(fake.alerts[place])
    await channel.page(sample_page("INC-1/sev2/3", topics=("resolved",)), OVER, place)
    seen.append(fake.alerts[place])
    await channel.follow(OVER, place)
    seen.append(fake.alerts[place])
    assert list(fake.alerts) == [place]
    return seen


def test_pagerduty_has_one_alert_for_an_incident() -> None:
    with FakePagerDuty() as fake:
        seen = asyncio.run(a_life(pagerduty(fake, source="shop"), fake))
        assert seen == ["triggered"] * 3 + ["acknowledged"] * 2 + ["resolved"] * 2
        payload = fake.payloads["shop/INC-1"]
        assert payload["severity"] == "error" and payload["source"] == "shop"


def test_opsgenie_has_one_alert_for_an_incident() -> None:
    with FakeOpsgenie() as fake:
        seen = asyncio.run(a_life(opsgenie(fake, source="shop", teams=("payments",)), fake))
        assert seen == ["open"] * 3 + ["acknowledged"] * 2 + ["closed"] * 2
        body = fake.bodies["shop/INC-1"]
        assert body["priority"] == "P2" and body["responders"] == [{"type": "team", "name": "payments"}]


def test_what_was_said_there_is_not_said_there_again() -> None:
    async def go(channel: PagerDutyChannel | OpsgenieChannel, fake: FakeApi) -> list[int]:
        place = await channel.page(sample_page(), OPEN, "")
        sent = []
        over = sample_page("INC-1/sev2/3", topics=("resolved",))
        for where in (channel.name, "elsewhere"):
            before = len(fake.requests)
            await channel.follow(replace(TAKEN, heard_on=where), place)
            await channel.follow(replace(OVER, heard_on=where), place)
            assert await channel.page(over, replace(OVER, heard_on=where), place) == place
            sent.append(len(fake.requests) - before)
        return sent

    with FakePagerDuty() as fake, FakeOpsgenie() as other:
        assert asyncio.run(go(pagerduty(fake), fake)) == [0, 3]
        assert asyncio.run(go(opsgenie(other), other)) == [0, 3]


def test_both_deliver() -> None:
    page = sample_page()
    with FakePagerDuty() as fake:
        asyncio.run(check_channel_delivers(pagerduty(fake), page, lambda: received(fake)))
    with FakeOpsgenie() as other:
        asyncio.run(check_channel_delivers(opsgenie(other), page, lambda: received(other)))


def test_the_incident_is_one_press_away() -> None:
    """What Incident and Runbook lead to stands where each product shows links."""
    standing = Standing("INC-1", 2, "SEV2 INC-1: payment fails", "15 % fail.", "open", links=LINKS)
    with FakePagerDuty() as fake, FakeOpsgenie() as other:
        asyncio.run(pagerduty(fake).page(sample_page(), standing, ""))
        asyncio.run(opsgenie(other).page(sample_page(), standing, ""))
        there, here = fake.requests[0].read, other.requests[0].read
        assert there["client_url"] == LINKS[0][1]
        assert there["links"] == [{"href": link, "text": what} for what, link in LINKS]
        assert {what: here["details"][what] for what, _ in LINKS} == dict(LINKS)


def test_the_longest_texts_are_taken() -> None:
    page = sample_page("k" * 900, subject="s" * 5000, text="ü" * 60_000, incident="INC-" + "9" * 600)
    with FakePagerDuty() as fake, FakeOpsgenie() as other:
        asyncio.run(pagerduty(fake).send(page))
        asyncio.run(opsgenie(other).send(page))
        assert len(fake.alerts) == len(other.alerts) == 1


def test_wrong_keys_are_final_and_are_not_repeated() -> None:
    with FakePagerDuty() as fake, FakeOpsgenie() as other:
        wrong = PagerDutyChannel("pd", lambda: "W" * 32, api_url=fake.url)
        asyncio.run(check_channel_failure(wrong, sample_page(), retryable=False, secrets=["W" * 32]))
        short = PagerDutyChannel("pd", lambda: "hunter2", api_url=fake.url)
        asyncio.run(check_channel_failure(short, sample_page(), retryable=False, secrets=["hunter2"]))
        no = OpsgenieChannel("og", lambda: "hunter2", api_url=other.url)
        asyncio.run(check_channel_failure(no, sample_page(), retryable=False, secrets=["hunter2"]))
        line = OpsgenieChannel("og", lambda: "hunter2\n", api_url=other.url)
        asyncio.run(check_channel_failure(line, sample_page(), retryable=False, secrets=["hunter2"]))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_there_is_worth_another_try(status: int) -> None:
    with FakePagerDuty() as fake, FakeOpsgenie() as other:
        for one in (fake, other):
            one.answers.append(Answer(status, {"message": "slow down"}, {"Retry-After": "17"}))
        asyncio.run(check_channel_failure(pagerduty(fake), sample_page(), retryable=True, secrets=[fake.routing_key]))
        asyncio.run(check_channel_failure(opsgenie(other), sample_page(), retryable=True, secrets=[other.api_key]))


def test_they_are_not_asked_again_before_their_time() -> None:
    async def go(fake: FakePagerDuty) -> None:
        channel = pagerduty(fake)
        fake.answers.append(Answer(429, None, {"Retry-After": "40"}))
        for key in ("a", "b", "c"):
            with pytest.raises(Exception) as caught:
                await channel.send(sample_page(key))
            assert 35 < caught.value.retry_after_seconds <= 40  # type: ignore[attr-defined]
            assert isinstance(caught.value, RateLimited) == (key == "a")

    with FakePagerDuty() as fake:
        asyncio.run(go(fake))
        assert len(fake.requests) == 1


def test_silence_is_given_up_in_time() -> None:
    with Receiver(silent_seconds=3) as receiver:
        base = receiver.url.removesuffix("/hook")
        one = PagerDutyChannel("pd", lambda: "R" * 32, api_url=base, timeout_seconds=0.3)
        other = OpsgenieChannel("og", lambda: "k", api_url=base, timeout_seconds=0.3)
        asyncio.run(check_channel_in_time(lambda: one.send(sample_page()), 0.3))
        asyncio.run(check_channel_in_time(lambda: other.send(sample_page()), 0.3))
