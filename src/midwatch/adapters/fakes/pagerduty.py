"""PagerDuty's Events API v2 as developer.pagerduty.com documents it: what it takes, what it refuses and in which words, and
that acknowledge and resolve of what is not open are taken and dropped. Not played: services, escalation, incidents.
"""

from __future__ import annotations

from typing import Any, Final

from midwatch.adapters.fakes.server import Answer, Asked, FakeApi

SEVERITIES: Final = ("critical", "error", "warning", "info")


class FakePagerDuty(FakeApi):
    """``alerts``: dedup key -> triggered, acknowledged or resolved; ``payloads``: the newest of each."""

    def __init__(self, routing_key: str = "R" * 32) -> None:
        super().__init__()
        self.routing_key = routing_key
        self.alerts: dict[str, str] = {}
        self.payloads: dict[str, dict[str, Any]] = {}

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
