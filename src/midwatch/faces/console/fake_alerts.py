"""A made-up storm for the preview and for tests of faces: alerts of three systems, sorted by the real triage stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from midwatch.core.oncall.triage import triage
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model.alerts import Alert, Matcher, Silence

if TYPE_CHECKING:
    from midwatch.faces.console.fakes import FakeWatch

_SAID: Final = (
    ("HighErrorRate", "service:payment", 2, "5xx of payment above 5 % for 2 min"),
    ("HighLatency", "service:checkout", 3, "p99 of checkout is 2.4 s"),
    ("QueueGrowing", "queue:orders", 3, "orders: 18,400 messages wait"),
    ("DiskFillsUp", "database:shop-db", 4, "shop-db is full in 4 h"),
    ("CertificateExpires", "service:gateway", 4, "gateway.example.com expires in 9 days"),
    ("BackupDone", "database:shop-db", 5, "nightly backup took 14 min"),
)


def fake_alerts(watch: FakeWatch, more: int = 120) -> None:
    """Some of everything: grouped, silenced, informing, over; and ``more`` of one kind, so that there are pages."""
    now = watch.now
    silence = Silence(
        "SIL-1", "maintenance", (Matcher("service", "=", "search"),), now - 900, now + 2700, "zoe", "reindexing"
    )
    watch.say(now - 900, e.SilenceSet(silence))
    told = [
        _alert(name, entity, severity, said, now - 60.0 * n, n)
        for n, (name, entity, severity, said) in enumerate(_SAID)
    ]
    told.append(_alert("SearchSlow", "service:search", 3, "search answers in 3 s", now - 300, 7))
    told += [
        _alert("InstanceDown", "service:cart", 3, f"cart-{n} does not answer", now - 240, 100 + n) for n in range(more)
    ]
    watch.say(now - 200, e.AlertsReceived(tuple(told)))
    _turn(watch, now - 199)
    watch.say(now - 120, e.AlertsReceived((), {told[0].key: 11, told[2].key: 3}))
    watch.say(now - 100, e.AlertNoted(told[0].key, "anna", "same cable as last week"))
    gone = Alert(told[3].key, told[3].source, "resolved", now - 90, now - 90, by="disk-cleaner")
    watch.say(now - 90, e.AlertsReceived((gone,)))
    _turn(watch, now - 89)


def _alert(name: str, entity: str, severity: int, summary: str, at: float, number: int) -> Alert:
    source = "pagerduty" if number % 3 == 1 else "prometheus"
    service = entity.partition(":")[2]
    labels = {"alertname": name, "service": service, "instance": f"{service}-{number}", "team": "shop"}
    links = (f"https://runbooks.example.com/{name}",)
    return Alert(
        f"{source}:{number:016x}", source, "firing", at, at, severity, name, summary, entity, labels=labels, links=links
    )


def _turn(watch: FakeWatch, at: float) -> None:
    watch.say(at, *triage(Turn(watch.state, watch.memory, watch.world, at)).events)
