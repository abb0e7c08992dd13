"""The webhook of Alertmanager: bodies of a real one, and a real one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which

import httpx
import pytest
from tests.alerts.conftest import OnWatch, recorded_bodies, run, until
from tests.sources.prom import free_port

from midwatch.adapters.alerts import alertmanager
from midwatch.adapters.alerts.common import Rules
from midwatch.model.errors import IngestError
from midwatch.shell.journal.sqlite import open_readonly

NOW = 1_795_424_300.0


def test_bodies_of_a_real_one() -> None:
    alerts = [a for body in recorded_bodies() for a in alertmanager.decode(body, {}, Rules("prom"), NOW).alerts]
    down, other, slow, over = alerts[:4]
    assert (down.key, down.name, down.severity) == ("prom:5fd2c16da170cd16", "InstanceDown", 4)
    assert down.entity == "service:haproxy" and other.entity == "service:pg"
    assert slow.severity == 2 and slow.links[0] == slow.runbook == "https://runbooks/HighErrorRate"
    assert slow.summary == "High 5xx on 127.0.0.1:9104"
    assert over.key == slow.key and over.state == "resolved" and over.at > slow.since_at


def test_a_bad_alert_does_not_take_the_good_ones_with_it() -> None:
    good = {"status": "firing", "labels": {"alertname": "Up"}, "startsAt": "2026-11-23T08:56:16Z", "fingerprint": "a"}
    bad = [{"status": "on fire", "labels": {"a": "b"}}, {"status": "firing", "labels": {}}, {"labels": 3}, 7]
    body = json.dumps({"version": "4", "alerts": [*bad, good], "more": {"of": "it"}}).encode()
    decoded = alertmanager.decode(body, {}, Rules("prom"), NOW)
    assert [a.name for a in decoded.alerts] == ["Up"]
    assert len(decoded.problems) == 4 and "on fire" in decoded.problems[0]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"alerts":{}}', b'{"version":"5","alerts":[]}']
)
def test_what_is_no_such_body(body: bytes) -> None:
    with pytest.raises(IngestError):
        alertmanager.decode(body, {}, Rules("prom"), NOW)


def test_from_the_body_to_the_page_and_back(on_watch: Callable[..., OnWatch]) -> None:
    """One message of a real Alertmanager opens an incident that pages; the one that ends it closes it."""
    firing, resolved = recorded_bodies()[1], recorded_bodies()[2]

    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url) as client:
            headers = {"Authorization": f"Bearer {on.keys['alertmanager']}"}
            answer = await client.post("/in/alertmanager", content=firing, headers=headers)
            assert answer.status_code == 200 and answer.json() == {"accepted": 1, "left_out": []}
            record = on.watch.state.alerts["alertmanager:ffa3a426d5da8dc7"]  # before the 2xx it is in the journal
            assert record.alert.name == "HighErrorRate"
            await until(lambda: on.channel.pages)
            page = on.channel.pages[0]
            assert page.subject == "SEV2 INC-1: HighErrorRate at fleet: High 5xx on 127.0.0.1:9104"
            assert "\nRunbook: https://runbooks/HighErrorRate\n" in page.text
            record = on.watch.state.alerts["alertmanager:ffa3a426d5da8dc7"]
            assert (record.place, record.incident) == ("grouped", "INC-1")
            again = await client.post("/in/alertmanager", content=firing, headers=headers)  # the other half of a pair
            assert again.status_code == 200
            answer = await client.post("/in/alertmanager", content=resolved, headers=headers)
            assert answer.status_code == 200
            await until(lambda: on.watch.state.incidents["INC-1"].phase == "resolved")
            await until(lambda: len(on.channel.pages) == 2)
            assert on.channel.pages[1].subject.startswith("Resolved INC-1")
            record = on.watch.state.alerts["alertmanager:ffa3a426d5da8dc7"]
            assert record.count == 3 and record.place == "over"
        journal = open_readonly(on.settings.journal_file)
        entries = list(journal.read())
        journal.close()
        kinds = [type(one.event).__name__ for one in entries]
        assert kinds.count("AlertsReceived") == 3 and kinds.count("IncidentOpened") == 1
        assert not any(key in on.settings.journal_file.read_bytes().decode("latin-1") for key in on.keys.values())

    run(go())


def test_without_the_key_nothing_is_taken(on_watch: Callable[..., OnWatch]) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url) as client:
            body = recorded_bodies()[0]
            for authorization in ("", "Bearer wrong", f"Bearer {on.keys['grafana']}", "Basic !!!", "Bearer"):
                headers = {"Authorization": authorization} if authorization else {}
                answer = await client.post("/in/alertmanager", content=body, headers=headers)
                assert answer.status_code == 401, authorization
            assert not on.watch.state.alerts
            assert on.watch.inbox.dropped["", "refused with 401"] == 5
            assert (await client.get("/in/alertmanager")).status_code == 405

    run(go())


@pytest.mark.integration
@pytest.mark.skipif(which("prometheus-alertmanager") is None, reason="needs Debian's prometheus-alertmanager")
def test_a_real_one(on_watch: Callable[..., OnWatch], tmp_path: Path) -> None:
    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient() as client:
            hook = {
                "url": f"{on.url}/in/alertmanager",
                "http_config": {"authorization": {"credentials": on.keys["alertmanager"]}},
            }
            route = {"receiver": "midwatch", "group_wait": "1ms", "group_interval": "1s", "group_by": ["alertname"]}
            config = {"route": route, "receivers": [{"name": "midwatch", "webhook_configs": [hook]}]}
            file = tmp_path / "alertmanager.yml"
            file.write_text(json.dumps(config))
            port = free_port()
            api = f"http://127.0.0.1:{port}/api/v2"
            alertmanager = subprocess.Popen(
                [
                    "prometheus-alertmanager", f"--config.file={file}", f"--storage.path={tmp_path}/am",
                    f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error",
                ],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                await _answers(client, f"{api}/status")
                labels = {"alertname": "QueueStuck", "service": "shipping", "severity": "critical"}
                alert = {"labels": labels, "startsAt": _rfc3339(time.time() - 60)}
                (await client.post(f"{api}/alerts", json=[alert])).raise_for_status()
                await until(lambda: on.channel.pages, 30)
                assert on.channel.pages[0].subject == "SEV2 INC-1: QueueStuck at shipping"
                ended = {**alert, "endsAt": _rfc3339(time.time() - 1)}
                (await client.post(f"{api}/alerts", json=[ended])).raise_for_status()
                await until(lambda: on.watch.state.incidents["INC-1"].phase == "resolved", 30)
            finally:
                alertmanager.terminate()
                alertmanager.wait(10)

    run(go())


def _rfc3339(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


async def _answers(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(300):
        try:
            if (await client.get(url)).is_success:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
