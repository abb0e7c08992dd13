"""Opsgenie's Alert API as docs.opsgenie.com documents it: create, acknowledge and close by alias, bounds, the key, and 202
with a request id. ``does`` makes the outgoing webhook of what a user does there. Not played: teams, policies, delivery,
and what is done later (a request for an unknown alias comes to nothing).
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, Final
from urllib.parse import unquote

from midwatch.adapters.fakes.server import Answer, Asked, FakeApi

BOUNDS: Final = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100}


class FakeOpsgenie(FakeApi):
    """``alerts``: alias -> open, acknowledged or closed; ``bodies``: what each was created with last."""

    def __init__(self, api_key: str = "11111111-2222-3333-4444-555555555555") -> None:
        super().__init__()
        self.api_key = api_key
        self.alerts: dict[str, str] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.webhook_secret = "w" * 24

    def does(
        self,
        action: str,
        alias: str,
        at: float,
        *,
        user: str = "ana@example.org",
        owner: str = "",
        note: str = "",
        through: str = "web",
        name: str = "",
        basic: bool = False,
    ) -> tuple[bytes, dict[str, str]]:
        """``user`` does ``action`` (``Acknowledge``, ``AddNote`` ...) at ``at`` to the alert: body and headers of the
        webhook, with the secret in a header of its own or as the password of the address."""
        alert: dict[str, Any] = {
            "updatedAt": int(at * 1e9),
            "tags": [],
            "message": self.bodies.get(alias, {}).get("message", alias),
            "username": user,
            "alertId": str(uuid.uuid5(uuid.NAMESPACE_URL, alias)),
            "source": user,
            "alias": alias,
            "tinyId": "23",
            "createdAt": int((at - 60) * 1e3),
            "userId": str(uuid.uuid5(uuid.NAMESPACE_URL, user)),
            "entity": "",
            **({"owner": owner} if owner else {}),
            **({"note": note} if note else {}),
        }
        if action in ("Acknowledge", "UnAcknowledge", "Close"):
            self.alerts[alias] = {"Acknowledge": "acknowledged", "Close": "closed"}.get(action, "open")
        said = {
            "source": {"name": name, "type": through},
            "alert": alert,
            "action": action,
            "integrationId": "37c8f316-17c6-49d7-899b-9c7e540c048d",
            "integrationName": "Webhook",
        }
        pair = base64.b64encode(f"midwatch:{self.webhook_secret}".encode()).decode()
        shown = f"Basic {pair}" if basic else f"Bearer {self.webhook_secret}"
        return json.dumps(said).encode(), {"Content-Type": "application/json", "Authorization": shown}

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"GenieKey {self.api_key}":
            return _said(401, "Key format is not valid!")
        body = asked.read
        if not isinstance(body, dict):
            return _said(400, "Invalid json")
        parts = asked.path.strip("/").split("/")
        if parts[:2] != ["v2", "alerts"] or asked.method != "POST":
            return _said(404, "Not found")
        if len(parts) == 2:
            return self._create(body)
        if len(parts) == 4 and asked.query.get("identifierType") == "alias":
            return self._change(unquote(parts[2]), parts[3])
        return _said(
            422, "Request body is not processable. Please check the errors.", {"identifier": "unknown alert id"}
        )

    def _create(self, body: dict[str, Any]) -> Answer:
        errors = {
            name: f"cannot be longer than {most}" for name, most in BOUNDS.items() if len(body.get(name, "")) > most
        }
        if not body.get("message"):
            errors["message"] = "Message can not be empty."
        if body.get("priority", "P3") not in ("P1", "P2", "P3", "P4", "P5"):
            errors["priority"] = "should be one of [P1, P2, P3, P4, P5]"
        if errors:
            return _said(422, "Request body is not processable. Please check the errors.", errors)
        alias = body.get("alias") or f"made-{len(self.requests)}"
        if self.alerts.get(alias) in (None, "closed"):
            self.alerts[alias] = "open"
        self.bodies[alias] = body
        return _said(202)

    def _change(self, alias: str, what: str) -> Answer:
        if what not in ("close", "acknowledge"):
            return _said(404, "Not found")
        if self.alerts.get(alias) not in (None, "closed"):
            self.alerts[alias] = "closed" if what == "close" else "acknowledged"
        return _said(202)


def _said(status: int, message: str = "", errors: dict[str, str] | None = None) -> Answer:
    body: dict[str, Any] = {"took": 0.005, "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}
    if status == 202:
        return Answer(202, {"result": "Request will be processed", **body})
    return Answer(status, {"message": message, **body, **({"errors": errors} if errors else {})})
