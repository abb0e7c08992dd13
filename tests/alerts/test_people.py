"""What people do about alerts: look, move, close, silence. Over the API and the command line of a running watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.alerts.conftest import OnWatch, run, until
from typer.testing import CliRunner

from midwatch.faces.cli.app import app
from midwatch.model.state import State


def say(name: str, service: str, state: str = "firing", severity: str = "error", **labels: str) -> dict[str, Any]:
    said = {"alertname": name, "service": service, "severity": severity, **labels}
    return {"status": state, "labels": said, "annotations": {"summary": f"{name} at {service}"}}


class Sender:
    def __init__(self, on: OnWatch, client: httpx.AsyncClient) -> None:
        self._on, self._client = on, client

    async def __call__(self, *alerts: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._on.keys['alertmanager']}"}
        body = {"version": "4", "groupKey": "", "alerts": alerts}
        (await self._client.post(f"{self._on.url}/in/alertmanager", json=body, headers=headers)).raise_for_status()


async def midwatch(on: OnWatch, *words: str, code: int = 0) -> str:
    """A command of the command line against the running watch."""
    folder = ("--folder", str(on.settings.folder))
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, *folder], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


def _key(on: OnWatch, name: str) -> str:
    return next(r.alert.key for r in on.watch.state.alerts.values() if r.alert.name == name)


COMPONENTS = ({"name": "Shop", "service": "orders"}, {"name": "Pay", "slo": "payment-latency"})


async def tells_customers_by_a_persons_word(on: OnWatch) -> None:
    """Alerts alone of INC-1 are nothing that customers are told, until somebody rates it."""

    def told() -> list[str]:
        return [one["title"] for one in json.loads(on.watch.status.files()["status.json"])["incidents"]]

    assert told() == [] and on.watch.state.incidents["INC-1"].impact is None
    draft = await midwatch(on, "tell", "INC-1", "--to", "customers")
    assert "possible problem" in draft and "fail" not in draft and "sorry" not in draft
    await midwatch(on, "severity", "INC-1", "2", "--by", "ana")
    await until(lambda: told() == ["Possible problem of Shop"])
    assert "no data of Pay: nobody keeps a promise called payment-latency" in await midwatch(on, "status", code=1)


def test_where_each_alert_is_and_why(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        async with on_watch(status_page={"components": COMPONENTS}) as on, httpx.AsyncClient() as client:
            send = Sender(on, client)
            await send(say("Down", "orders"), say("Slow", "orders"), say("Backup", "archive", severity="info"))
            await until(lambda: all(r.place for r in on.watch.state.alerts.values()))
            told = {r["name"]: r for r in json.loads(await midwatch(on, "alerts", "--json"))["alerts"]}
            assert told["Down"]["why"] == "nothing open was about orders" and told["Down"]["incident"] == "INC-1"
            assert told["Slow"]["why"] == "it is about orders as well" and told["Slow"]["incident"] == "INC-1"
            assert told["Backup"]["place"] == "informs" and len(on.channel.pages) == 1
            only = json.loads(await midwatch(on, "alerts", "--json", "-q", '{alertname=~"Sl.*"}'))
            assert [r["name"] for r in only["alerts"]] == ["Slow"]
            assert "nothing open was about orders" in await midwatch(on, "alerts", "show", told["Down"]["key"])
            assert "3 taken" in await midwatch(on, "alerts", "senders")
            assert told["Down"]["wakes_nobody"] == told["Backup"]["wakes_nobody"] == ""
            await send(say("Disk", "search", severity="warning"))
            await until(lambda: any(r.incident == "INC-2" for r in on.watch.state.alerts.values()))
            words = "INC-2 wakes nobody: SEV4, and page_severity is 3"
            assert words in await midwatch(on, "alerts", "show", _key(on, "Disk"))
            assert words.removeprefix("INC-2 ") in await midwatch(on, "alerts")
            assert words in await midwatch(on, "show", "INC-2") and words not in await midwatch(on, "show", "INC-1")
            assert "wakes nobody: SEV4" in " ".join((await midwatch(on, "incidents")).split())
            assert len(on.channel.pages) == 1
            await tells_customers_by_a_persons_word(on)
            await midwatch(on, "alerts", "show", "no-such-alert", code=2)

    run(go())


def test_move_and_close(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient() as client:
            send = Sender(on, client)
            await send(say("Down", "orders", zone="a"), say("Down", "orders", zone="b"), say("Lag", "cart"))

            def state() -> State:
                return on.watch.state

            await until(lambda: len(state().incidents) == 2)
            one = next(r for r in state().alerts.values() if r.alert.labels.get("zone") == "b")
            other = next(r for r in state().alerts.values() if r.alert.name == "Lag")
            await midwatch(on, "alerts", "move", one.alert.key, other.incident, "--by", "ann", "--note", "same cable")
            await until(lambda: state().alerts[one.alert.key].incident == other.incident)
            moved = state().alerts[one.alert.key]
            assert moved.why == f"ann moved it here from {one.incident}: same cable"
            assert state().incidents[one.incident].phase == "open", "its twin still fires there"
            await send(say("Down", "orders", zone="b"))  # said again, it stays where it was put
            await midwatch(on, "alerts", "move", one.alert.key, "new", "--by", "ann")
            await until(lambda: state().alerts[one.alert.key].incident == "INC-3")
            await midwatch(on, "alerts", "close", one.alert.key, "--by", "ann")
            await until(lambda: state().incidents["INC-3"].phase == "resolved")
            assert state().alerts[one.alert.key].why == "resolved by ann"
            await midwatch(on, "alerts", "close", one.alert.key, "--by", "ann", code=2)
            await midwatch(on, "alerts", "move", other.alert.key, "INC-99", code=2)
            await send(say("Down", "orders", zone="b"))  # its sender says it again
            await until(lambda: state().alerts[one.alert.key].place == "grouped")

    run(go())


def test_a_silence_wakes_nobody_and_ends_aloud(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient() as client:
            send = Sender(on, client)
            await midwatch(on, "silence", "set", 'service="orders"', "--for", "3s", "--note", "upgrade", "--by", "ann")
            await until(lambda: on.watch.state.silences)
            await send(say("Down", "orders"))
            record = await until(lambda: next((r for r in on.watch.state.alerts.values() if r.place), None))
            assert record.place == "silenced" and record.why.endswith("by ann: upgrade")
            assert "holds back 1" in await midwatch(on, "silence", "list")
            assert not on.channel.pages and not on.watch.state.incidents
            await until(lambda: on.channel.pages)
            assert not on.watch.state.silences
            assert on.channel.pages[0].subject.startswith("SEV3 INC-1: Down at orders")
            (ended,) = [r.event for r in on.watch.journal.read() if type(r.event).__name__ == "SilenceEnded"]
            assert (ended.why, ended.firing) == ("its time is over", 1)
            await midwatch(on, "silence", "set", 'service=~".*"', "--for", "1h", "--note", "all of it", code=2)
            await midwatch(on, "silence", "set", 'service="cart"', "--for", "1h", code=2)  # without a reason
            await midwatch(on, "silence", "end", "SIL-9", code=2)

    run(go())


def test_mail_over_a_pipe(on_watch: Callable[..., OnWatch], tmp_path: Path) -> None:
    async def go() -> None:
        async with on_watch() as on:
            key = tmp_path / "mail.key"
            key.write_text(on.keys["email"])
            text = b"From: cron@example.com\r\nSubject: backup failed\r\n\r\nno space\r\n"
            words = ["alerts", "mail", "--key-file", str(key), "--folder", str(on.settings.folder)]
            result = await asyncio.to_thread(CliRunner().invoke, app, words, input=text)
            assert result.exit_code == 0, result.output
            assert on.watch.state.alerts["email:backup failed"].alert.summary == "no space"
        result = await asyncio.to_thread(CliRunner().invoke, app, words, input=text)
        assert result.exit_code == 75, "the mail server keeps it and tries again"

    run(go())
