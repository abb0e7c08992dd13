"""Clients that senders really use, each against a running watch: only the address is changed."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings import http as ce
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from tests.alerts.conftest import OnWatch, run, until
from tests.sources.prom import free_port

from midwatch.gym.fleet.certs import Authority

pytestmark = pytest.mark.integration


@asynccontextmanager
async def behind_tls(port: int, folder: Path) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """What a proxy with TLS in front of midwatch does: the SDK talks to nothing else. Its address, and whom to trust."""
    authority = Authority.new()
    file = folder / "localhost.pem"
    file.write_text(authority.issue(["localhost"], 600.0))
    mine, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=authority.pem)
    mine.load_cert_chain(file)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, out = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError, OSError):
            await asyncio.gather(pipe(reader, out), pipe(inside, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=mine)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", theirs


def test_the_pagerduty_sdk(on_watch: Callable[..., OnWatch], tmp_path: Path) -> None:
    import pagerduty

    async def go() -> None:
        async with on_watch() as on, behind_tls(on.watch.console_port, tmp_path) as (url, trust):
            client = pagerduty.EventsApiV2Client(on.keys["pagerduty"], base_url=url, verify=trust)
            call = asyncio.to_thread
            key = await call(
                client.trigger, "disk of db-1 is full", "db-1", severity="error", custom_details={"service": "orders"},
                links=[{"href": "https://runbooks/disk", "text": "runbook"}],
                images=[{"src": "https://graphs/disk.png"}],
            )  # fmt: skip
            await until(lambda: on.channel.pages)
            record = on.watch.state.alerts[f"pagerduty:{key}"]
            assert (record.alert.entity, record.alert.severity) == ("service:orders", 3)
            assert record.alert.links == ("https://runbooks/disk", "https://graphs/disk.png")
            given = ("runbook: https://runbooks/disk", "Image: https://graphs/disk.png")
            assert "\n".join(("", *given, "service: orders", "")) in on.channel.pages[0].text
            again = await call(client.trigger, "it is fuller", "db-1", dedup_key=key, severity="critical")
            assert again == key
            assert on.watch.state.alerts[f"pagerduty:{key}"].alert.severity == 2
            assert await call(client.acknowledge, key) == key
            await until(lambda: on.watch.state.incidents["INC-1"].acknowledged_by)
            await call(client.submit, "deployed 1.4.2", "orders", timestamp=datetime.now(UTC).isoformat())
            assert on.watch.state.changes[-1].summary == "deployed 1.4.2"
            assert await call(client.resolve, key) == key
            await until(lambda: on.watch.state.incidents["INC-1"].phase == "resolved")
            stranger = pagerduty.EventsApiV2Client("f" * 32, base_url=url, verify=trust)
            with pytest.raises(pagerduty.HttpError) as refused:
                await call(stranger.trigger, "x", "y")
            assert refused.value.response.status_code == 400
            assert refused.value.response.json()["errors"] == ["'routing_key' is not known here"]

    run(go())


def test_the_opsgenie_sdk(on_watch: Callable[..., OnWatch]) -> None:
    import opsgenie_sdk as og

    async def go() -> None:
        async with on_watch() as on:
            conf = og.configuration.Configuration()
            conf.host, conf.api_key["Authorization"] = on.url, on.keys["opsgenie"]
            api = og.AlertApi(api_client=og.api_client.ApiClient(configuration=conf))
            call = asyncio.to_thread
            created = await call(
                api.create_alert,
                og.CreateAlertPayload(
                    message="queue is stuck", alias="queue/1", priority="P2", entity="shipping", tags=["night"],
                    details={"region": "eu"}, note="look at the consumer", description="nobody takes messages",
                ),
            )  # fmt: skip
            assert created.result == "Request will be processed"
            status = await call(api.get_request_status, created.request_id)
            assert status.data.is_success and status.data.alias == "queue/1"
            await until(lambda: on.channel.pages)
            assert on.channel.pages[0].subject == "SEV2 INC-1: queue is stuck at shipping: nobody takes messages"
            await call(
                api.add_note,
                "queue/1",
                og.AddNoteToAlertPayload(note="consumer restarted", user="ann"),
                identifier_type="alias",
            )
            noted = await call(api.list_notes, "queue/1", identifier_type="alias")
            assert [n.note for n in noted.data] == ["consumer restarted", "look at the consumer"]
            await call(
                api.acknowledge_alert,
                "queue/1",
                identifier_type="alias",
                acknowledge_alert_payload=og.AcknowledgeAlertPayload(user="ann"),
            )
            one = (await call(api.get_alert, "queue/1", identifier_type="alias")).data
            assert one.acknowledged and one.status == "open" and one.priority == "P2" and one.tags == ["night"]
            assert one.details["region"] == "eu" and one.details["midwatch"].startswith("grouped: ")
            await until(lambda: on.watch.state.incidents["INC-1"].acknowledged_by == "ann")
            await call(api.create_alert, og.CreateAlertPayload(message="no alias given"))
            listed = (await call(api.list_alerts, query="status: open", limit=10, sort="createdAt", order="desc")).data
            assert [a.message for a in listed] == ["no alias given", "queue is stuck"]
            await call(
                api.close_alert,
                "queue/1",
                identifier_type="alias",
                close_alert_payload=og.CloseAlertPayload(user="ann"),
            )
            await until(lambda: on.watch.state.alerts["opsgenie:queue/1"].place == "over")
            assert on.watch.state.alerts["opsgenie:queue/1"].why == "resolved by ann"
            listed = (await call(api.list_alerts, query="status: closed")).data
            assert [a.alias for a in listed] == ["queue/1"]
            with pytest.raises(og.ApiException) as lacking:
                await call(api.get_alert, "nothing-of-that-name", identifier_type="alias")
            assert lacking.value.status == 404
            conf.api_key["Authorization"] = "wrong"
            strange = og.AlertApi(api_client=og.api_client.ApiClient(configuration=conf))
            with pytest.raises(og.exceptions.AuthenticationException) as refused:
                await call(strange.list_alerts)
            assert "401" in str(refused.value)

    run(go())


def _event(ident: str, kind: str, data: Any, subject: str = "orders/db-1") -> CloudEvent:
    attributes = {
        "id": ident, "source": "https://watcher/eu", "type": kind, "specversion": "1.0", "subject": subject,
        "time": datetime.now(UTC), "datacontenttype": "application/json",
    }  # fmt: skip
    return CloudEvent(attributes=attributes, data=data)


def test_the_cloudevents_sdk(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url) as client:
            key = {"Authorization": f"Bearer {on.keys['cloudevents']}"}
            said = {"severity": "critical", "service": "orders", "message": "replication \u00fc lags"}
            message = ce.to_binary_event(_event("1", "com.example.lag.firing", said))
            answer = await client.post("/in/cloudevents", content=message.body, headers={**message.headers, **key})
            assert answer.status_code == 202 and answer.json()["accepted"] == 1
            await until(lambda: on.channel.pages)
            assert on.channel.pages[0].subject == "SEV2 INC-1: lag at orders: replication \u00fc lags"
            record = on.watch.state.alerts["cloudevents:https://watcher/eu|orders/db-1"]
            assert record.alert.summary == "replication \u00fc lags"
            message = ce.to_structured_event(_event("2", "com.example.lag.resolved", said))
            answer = await client.post("/in/cloudevents", content=message.body, headers={**message.headers, **key})
            assert answer.status_code == 202
            await until(lambda: on.watch.state.incidents["INC-1"].phase == "resolved")
            many = [_event(str(n), "com.example.disk.firing", said, f"disk-{n}") for n in range(3)]
            body = JSONFormat().write_batch(many) if hasattr(JSONFormat, "write_batch") else _batch(many)
            headers = {"content-type": "application/cloudevents-batch+json", **key}
            answer = await client.post("/in/cloudevents", content=body, headers=headers)
            assert answer.json() == {"accepted": 3, "left_out": []}

    run(go())


def _batch(events: list[CloudEvent]) -> bytes:
    return b"[" + b",".join(ce.to_structured_event(event).body for event in events) + b"]"


def test_mail_through_a_real_smtp_server(on_watch: Callable[..., OnWatch]) -> None:
    """A mail server takes it over SMTP and hands it on, as a ``midwatch alerts mail`` behind a pipe does."""
    from aiosmtpd.controller import Controller

    async def go() -> None:
        async with on_watch(integrations={"email": {"service": "billing"}}) as on:
            kept: list[int] = []

            class HandOn:
                async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
                    key = {"Authorization": f"Bearer {on.keys['email']}"}
                    async with httpx.AsyncClient() as client:
                        answer = await client.post(f"{on.url}/in/email", content=envelope.content, headers=key)
                    kept.append(answer.status_code)
                    return "250 OK" if answer.is_success else "451 try again"

            server = Controller(HandOn(), hostname="127.0.0.1", port=free_port())
            server.start()
            try:
                port = server.server.sockets[0].getsockname()[1]
                await asyncio.to_thread(_mail, port, "** PROBLEM ** Critical: cron of billing failed", "exit code 3")
                await until(lambda: on.channel.pages)
                assert on.channel.pages[0].subject == "SEV2 INC-1: cron of billing failed at billing: exit code 3"
                await asyncio.to_thread(_mail, port, "Re: [RESOLVED] cron of billing failed", "fine again")
                await until(lambda: on.watch.state.incidents["INC-1"].phase == "resolved")
            finally:
                server.stop()
            assert kept == [200, 200]

    run(go())


def _mail(port: int, subject: str, text: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "cron@example.com", "midwatch@localhost", subject
    message.set_content(text)
    with smtplib.SMTP("127.0.0.1", port) as server:
        server.send_message(message)
