"""PagerDuty's Events API v2 as developer.pagerduty.com documents it: what it takes, what it refuses and in which words, and
that acknowledge and resolve of what is not open are taken and dropped. ``does`` makes the V3 webhook of what a user does
there. Not played: services, escalation, delivery.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from midwatch.adapters.channels.pagerduty_hook import sign
from midwatch.adapters.fakes.server import Answer, Asked, FakeApi

SEVERITIES: Final = ("critical", "error", "warning", "info")


STATUS: Final = {"acknowledged": "acknowledged", "unacknowledged": "triggered", "resolved": "resolved"}
ANA: Final = ("PLH1HKV", "Ana Silva")


class FakePagerDuty(FakeApi):
    """``alerts``: dedup key -> triggered, acknowledged or resolved; ``payloads``: the newest of each. Webhooks are signed
    with each of ``webhook_secrets``: there are two while one is replaced."""

    def __init__(self, routing_key: str = "R" * 32) -> None:
        super().__init__()
        self.routing_key = routing_key
        self.alerts: dict[str, str] = {}
        self.payloads: dict[str, dict[str, Any]] = {}
        self.webhook_secrets = ["s" * 40]

    def answer(self, asked: Asked) -> Answer:
        event = asked.read
        if asked.path != "/v2/enqueue" or asked.method != "POST":
            return Answer(404, {"status": "not found", "message": "Not found"})
        if len(asked.body) > 512 * 1024:
            return Answer(413, {"status": "invalid event", "message": "Event is too large"})
        problems = _wrong(event) if isinstance(event, dict) else ["JSON object expected"]
        if not problems and event["routing_key"] != self.routing_key:
            problems = ["Invalid routing key"]
        if problems:
            return Answer(400, {"status": "invalid event", "message": "Event object is invalid", "errors": problems})
        key = event.get("dedup_key") or f"made-{len(self.requests)}"
        state = self.alerts.get(key)
        match event["event_action"]:
            case "trigger":
                self.alerts[key] = "triggered" if state in (None, "resolved") else str(state)
                self.payloads[key] = event["payload"]
            case "acknowledge" if state == "triggered":
                self.alerts[key] = "acknowledged"
            case "resolve" if state is not None:
                self.alerts[key] = "resolved"
        return Answer(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def does(
        self,
        what: str,
        key: str,
        at: float,
        *,
        user: tuple[str, str] | None = ANA,
        to: tuple[str, str] | None = None,
        note: str = "",
        merged: bool = False,
    ) -> tuple[bytes, dict[str, str]]:
        """``user`` (id, name) does ``what`` (``acknowledged``, ``annotated`` ...) at ``at`` to the incident of the dedup
        key: body and headers of the webhook. Without a user the API, or PagerDuty itself, did."""
        self.alerts[key] = STATUS.get(what, self.alerts.get(key, "triggered"))
        ident, title = f"P{uuid.uuid5(uuid.NAMESPACE_URL, key).hex[:6].upper()}", self._title(key)
        data: dict[str, Any] = {
            "id": ident,
            "type": "incident",
            "html_url": f"https://acme.pagerduty.com/incidents/{ident}",
            "status": self.alerts[key],
            "incident_key": key,
            "title": title,
            "service": {"id": "PF9KMXH", "summary": "API Service", "type": "service_reference"},
            "assignees": [_reference(to or user)],
            "resolve_reason": {"type": "merge_resolve_reason"} if merged else None,
        }
        if what == "annotated":
            about = {"id": ident, "summary": title, "type": "incident_reference"}
            data = {"id": "P2LA89X", "type": "incident_note", "incident": about, "content": note, "trimmed": False}
        return self.signed(f"incident.{what}", at, data, _reference(user))

    def signed(
        self, event_type: str, at: float, data: dict[str, Any], agent: dict[str, str] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        event: dict[str, Any] = {
            "id": uuid.uuid4().hex[:26].upper(),
            "event_type": event_type,
            "resource_type": event_type.partition(".")[0],
            "occurred_at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "agent": agent,
            "client": None,
            "data": data,
        }
        body = json.dumps({"event": event}).encode()
        signatures = ",".join(sign(secret, body) for secret in self.webhook_secrets)
        headers = {"Content-Type": "application/json", "User-Agent": "PagerDuty-Webhook/V3.0"}
        return body, {**headers, "X-PagerDuty-Signature": signatures, "X-Webhook-Id": event["id"]}

    def _title(self, key: str) -> str:
        return str(self.payloads.get(key, {}).get("summary", key))


def _reference(user: tuple[str, str] | None) -> dict[str, str] | None:
    if user is None:
        return None
    return {"id": user[0], "summary": user[1], "type": "user_reference"}


def _wrong(event: dict[str, Any]) -> list[str]:
    found = []
    if len(str(event.get("routing_key", ""))) != 32:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    action = event.get("event_action")
    if action not in ("trigger", "acknowledge", "resolve"):
        found.append("'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')")
    if len(event.get("dedup_key") or "") > 255:
        found.append("'dedup_key' is too long (maximum is 255 characters)")
    if action != "trigger":
        return found if event.get("dedup_key") else [*found, "'dedup_key' is missing or blank"]
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return [*found, "'payload' is missing or blank"]
    found += [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name)]
    if len(payload.get("summary", "")) > 1024:
        found.append("'payload.summary' is too long (maximum is 1024 characters)")
    if payload.get("severity") not in SEVERITIES:
        found.append("'payload.severity' is invalid (must be one of the following: " + ", ".join(SEVERITIES) + ")")
    return found
