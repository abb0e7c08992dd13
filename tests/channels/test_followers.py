"""Slack, PagerDuty and Opsgenie keep one place for an incident, by the conformance kit."""

from __future__ import annotations

import asyncio

from midwatch.adapters.channels.opsgenie import OpsgenieChannel
from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.pagerduty import PagerDutyChannel
from midwatch.adapters.channels.slack.channel import SlackChannel
from midwatch.adapters.fakes.opsgenie import FakeOpsgenie
from midwatch.adapters.fakes.pagerduty import FakePagerDuty
from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.adapters.testing_followers import check_follower


def test_slack() -> None:
    with FakeSlack() as fake:
        channel = SlackChannel("team", lambda: fake.token, fake.conversation, api_url=f"{fake.url}/api", pace=Pace())
        place = asyncio.run(check_follower(channel, lambda: len(fake.roots), lambda: str(fake.roots[0]["blocks"])))
        assert place == f"{fake.conversation}:1790000000.000001"


def test_pagerduty() -> None:
    with FakePagerDuty() as fake:
        channel = PagerDutyChannel("pd", lambda: fake.routing_key, api_url=fake.url)
        asyncio.run(check_follower(channel, lambda: len(fake.alerts), lambda: dict(fake.alerts)))


def test_opsgenie() -> None:
    with FakeOpsgenie() as fake:
        channel = OpsgenieChannel("og", lambda: fake.api_key, api_url=fake.url)
        asyncio.run(check_follower(channel, lambda: len(fake.alerts), lambda: dict(fake.alerts)))
