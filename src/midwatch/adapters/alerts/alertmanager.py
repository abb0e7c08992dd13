"""The webhook of Prometheus Alertmanager, version 4. Source: its documentation, "webhook_config", and bodies of a real one.

Its key is the fingerprint of the labels, so that both halves of a pair say the same alert. Unknown fields are ignored.
"""

from __future__ import annotations

import hashlib
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

SUMMARIES: Final = ("summary", "message", "title", "description")
LINKS: Final = ("runbook_url", "runbook", "dashboard_url", "dashboard")


class _Body(msgspec.Struct):
    alerts: list[msgspec.Raw]
    version: str = ""
    groupKey: str = ""
    externalURL: str = ""
    truncatedAlerts: int = 0


class _Alert(msgspec.Struct):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""
    endsAt: str = ""
    generatorURL: str = ""
    fingerprint: str = ""


_one = msgspec.json.Decoder(_Alert)


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError for what is no such body; a bad alert in a good one is left out."""
    read_body = read(body, _Body, "an Alertmanager webhook")
    if read_body.version not in ("", "4", "1"):
        raise IngestError(f"webhook version {read_body.version[:20]!r} is not known", hint="version 4 is understood")
    found: list[Alert] = []
    problems: list[str] = []
    for number, raw in enumerate(read_body.alerts):
        if number >= MAX_ALERTS:
            problems.append(f"{len(read_body.alerts) - MAX_ALERTS} alerts beyond the first {MAX_ALERTS}")
            break
        try:
            found.append(_alert(_one.decode(raw), read_body, rules, now))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            problems.append(f"alert {number}: {str(error)[:200]}")
    if read_body.truncatedAlerts > 0:
        problems.append(f"{read_body.truncatedAlerts} alerts that Alertmanager left out (max_alerts)")
    return Decoded(tuple(found), tuple(problems))


def _alert(one: _Alert, body: _Body, rules: Rules, now: float) -> Alert:
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
        summary=next((notes[key] for key in SUMMARIES if notes.get(key)), ""),
        group=body.groupKey,
        labels=one.labels,
        links=(*(notes[key] for key in LINKS if key in notes), one.generatorURL, body.externalURL),
    )


def fingerprint(labels: dict[str, str]) -> str:
    """The same for the same labels in any order."""
    said = "\0".join(f"{name}\0{labels[name]}" for name in sorted(labels))
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def refused(problem: IngestError) -> Answer:
    """It tries again after a 5xx and after nothing else: "later" is 503, whatever it is elsewhere."""
    return plain_refused(IngestError(str(problem), status=503, hint=problem.hint) if problem.status == 429 else problem)


FORMAT: Final = Format("alertmanager", 4 * 1024 * 1024, decode, plain_accepted, refused, header_key)
