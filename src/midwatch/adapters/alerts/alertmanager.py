"""The webhook of Prometheus Alertmanager, version 4. Source: its documentation, "webhook_config", and bodies of a real one.

Its key is the fingerprint of the labels, so that both halves of a pair say the same alert. Unknown fields are ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from midwatch.adapters.alerts.common import (
    MAX_ALERTS,
    Answer,
    Decoded,
    Format,
    Headers,
    Rules,
    alert,
    header_key,
    moment,
    plain_accepted,
    plain_refused,
    read,
)
from midwatch.model.alerts import Alert
from midwatch.model.errors import IngestError

MAX_BYTES: Final = 4 * 1024 * 1024
SUMMARIES: Final = ("summary", "message", "title", "description")
RUNBOOKS: Final = ("runbook_url", "runbook")
LINKS: Final = (*RUNBOOKS, "dashboard_url", "dashboard")


class Body(msgspec.Struct):
    alerts: list[msgspec.Raw]
    version: str = ""
    groupKey: str = ""
    externalURL: str = ""
    truncatedAlerts: float = 0


class OneAlert(msgspec.Struct):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""
    endsAt: str = ""
    generatorURL: str = ""
    fingerprint: str = ""


_one = msgspec.json.Decoder(OneAlert)


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError for what is no such body; a bad alert in a good one is left out."""
    return decode_each(
        body, "an Alertmanager webhook", lambda raw, whole: alert_of(_one.decode(raw), whole, rules, now)
    )


def decode_each(body: bytes, what: str, one: Callable[[msgspec.Raw, Body], Alert]) -> Decoded:
    whole = read(body, Body, what)
    if whole.version not in ("", "4", "1"):
        raise IngestError(f"webhook version {whole.version[:20]!r} is not known", hint="version 4 is understood")
    found: list[Alert] = []
    problems: list[str] = []
    for number, raw in enumerate(whole.alerts):
        if number >= MAX_ALERTS:
            problems.append(f"{len(whole.alerts) - MAX_ALERTS} alerts beyond the first {MAX_ALERTS}")
            break
        try:
            found.append(one(raw, whole))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            problems.append(f"alert {number}: {str(error)[:200]}")
    if whole.truncatedAlerts > 0:
        problems.append(f"{whole.truncatedAlerts:.0f} alerts that the sender left out (max_alerts)")
    return Decoded(tuple(found), tuple(problems))


def alert_of(
    one: OneAlert, body: Body, rules: Rules, now: float, *, links: tuple[str, ...] = (), measured: str = ""
) -> Alert:
    """Raises ValueError for what is no alert. ``measured`` stands in for a summary where there is none."""
    if one.status not in ("firing", "resolved"):
        raise ValueError(f"status {one.status[:40]!r} is neither firing nor resolved")
    if not one.labels:
        raise ValueError("it has no labels")
    notes = one.annotations
    ended = moment(one.endsAt) if one.status == "resolved" else None
    return alert(
        rules,
        one.fingerprint or fingerprint(one.labels),
        one.status,
        now if ended is None else min(ended, now),
        since_at=moment(one.startsAt),
        severity=one.labels.get("severity") or one.labels.get("priority") or "",
        name=one.labels.get("alertname", ""),
        summary=next((notes[key] for key in SUMMARIES if notes.get(key)), measured),
        group=body.groupKey,
        labels=one.labels,
        links=(*(notes[key] for key in LINKS if key in notes), *links, one.generatorURL, body.externalURL),
        runbook=next((notes[key] for key in RUNBOOKS if notes.get(key)), ""),
    )


def fingerprint(labels: dict[str, str]) -> str:
    """The same for the same labels in any order."""
    said = "\0".join(f"{name}\0{labels[name]}" for name in sorted(labels))
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def refused(problem: IngestError) -> Answer:
    """It tries again after a 5xx and after nothing else: "later" is 503, whatever it is elsewhere."""
    return plain_refused(IngestError(str(problem), status=503, hint=problem.hint) if problem.status == 429 else problem)


FORMAT: Final = Format("alertmanager", MAX_BYTES, decode, plain_accepted, refused, header_key)
