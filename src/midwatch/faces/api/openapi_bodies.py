"""What other systems send, as JSON Schema for the OpenAPI document: each sender's own documented format, as far as midwatch
reads it. Fields that are not named are allowed and ignored, everywhere.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

TEXT: Final[Json] = {"type": "string"}
SAID: Final[Json] = {"type": "string", "pattern": r"\S"}
TIME: Final[Json] = {"type": "string", "format": "date-time"}
LABELS: Final[Json] = {"type": "object", "additionalProperties": TEXT}


def _object(required: tuple[str, ...], **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


def _one_of(*words: str) -> Json:
    return {"type": "string", "enum": list(words)}


def _many(items: Json) -> Json:
    return {"type": "array", "items": items}


def _webhook(alert: Json) -> Json:
    """Alertmanager's envelope, which is Grafana's too."""
    return _object(
        ("alerts",),
        version=_one_of("4", "1"),
        groupKey=TEXT,
        status=_one_of("firing", "resolved"),
        receiver=TEXT,
        groupLabels=LABELS,
        commonLabels=LABELS,
        commonAnnotations=LABELS,
        externalURL=TEXT,
        truncatedAlerts={"type": "integer", "minimum": 0},
        alerts=_many(alert),
    )


_ALERT: Final = _object(
    ("status", "labels"),
    status=_one_of("firing", "resolved"),
    labels={**LABELS, "minProperties": 1},
    annotations=LABELS,
    startsAt=TIME,
    endsAt=TIME,
    generatorURL=TEXT,
    fingerprint=TEXT,
)
_GRAFANA: Final[Json] = {
    **_ALERT,
    "properties": {
        **_ALERT["properties"],
        "dashboardURL": TEXT,
        "panelURL": TEXT,
        "values": {"type": ["object", "null"]},
    },
}
_KEY: Final[Json] = {"type": "string", "minLength": 16, "description": "the key of an integration of kind pagerduty"}
_LINKS: Final = _many(_object((), href=TEXT, text=TEXT))
_PAYLOAD: Final = _object(
    ("summary", "source", "severity"),
    summary={**SAID, "maxLength": 1024},
    source=SAID,
    severity=_one_of("critical", "error", "warning", "info"),
    timestamp=TIME,
    component=TEXT,
    group=TEXT,
    **{"class": TEXT},
    custom_details={},
)
_DEDUP: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 255}
_USER: Final = _object(("id", "type"), id=TEXT, type=_one_of("user_reference"), summary=TEXT)

SCHEMAS: Final[dict[str, Json]] = {
    "AlertmanagerWebhook": _webhook(_ALERT),
    "GrafanaWebhook": _webhook(_GRAFANA),
    "AnyAlert": {"type": ["object", "array"]},
    "CloudEvent": _object(
        ("id", "source", "specversion", "type"),
        id={**TEXT, "minLength": 1},
        source={**TEXT, "minLength": 1},
        specversion=_one_of("1.0"),
        type={**TEXT, "minLength": 1},
        subject=TEXT,
        time=TIME,
        datacontenttype=TEXT,
        data={},
        data_base64={**TEXT, "contentEncoding": "base64"},
    ),
    "PagerDutyEvent": {
        "oneOf": [
            _object(
                ("routing_key", "event_action", "payload"),
                routing_key=_KEY,
                event_action=_one_of("trigger"),
                dedup_key=_DEDUP,
                payload=_PAYLOAD,
                links=_LINKS,
                client=TEXT,
                client_url=TEXT,
            ),
            _object(
                ("routing_key", "event_action", "dedup_key"),
                routing_key=_KEY,
                event_action=_one_of("acknowledge", "resolve"),
                dedup_key=_DEDUP,
            ),
        ]
    },
    "PagerDutyChange": _object(
        ("routing_key", "payload"),
        routing_key=_KEY,
        payload=_object(("summary",), summary={**SAID, "maxLength": 1024}, source=TEXT, timestamp=TIME, custom_details={}),
        links=_LINKS,
    ),
    "OpsgenieAlert": _object(
        ("message",),
        message={**SAID, "maxLength": 130},
        alias={**TEXT, "maxLength": 512},
        description={**TEXT, "maxLength": 15_000},
        tags=_many(TEXT),
        details=LABELS,
        entity={**TEXT, "maxLength": 512},
        source={**TEXT, "maxLength": 100},
        priority=_one_of("P1", "P2", "P3", "P4", "P5"),
        user=TEXT,
        note=TEXT,
    ),
    "OpsgenieWord": _object((), user=TEXT, source=TEXT, note=TEXT),
    "OpsgenieNote": _object(("note",), user=TEXT, source=TEXT, note=SAID),
    "PagerDutyWebhook": _object(
        ("event",),
        event=_object(
            ("id", "event_type"),
            id=SAID,
            event_type=_one_of(
                *(f"incident.{what}" for what in (
                    "triggered", "acknowledged", "unacknowledged", "resolved", "reassigned", "annotated",
                )),
                "pagey.ping",
            ),
            resource_type=TEXT,
            occurred_at=TIME,
            agent={"oneOf": [_USER, {"type": "null"}]},
            data=_object((), id=TEXT, type=TEXT, incident_key=TEXT, title=TEXT, content=TEXT, assignees=_many(_USER)),
        ),
    ),
    "OpsgenieWebhook": _object(
        ("action", "alert"),
        action=_one_of("Create", "Acknowledge", "UnAcknowledge", "Close", "AddNote", "AssignOwnership", "TakeOwnership"),
        alert=_object(
            ("alertId",), alertId=SAID, alias=TEXT, username=TEXT, userId=TEXT, owner=TEXT, note=TEXT, message=TEXT,
            updatedAt={"type": "integer"},
        ),
        source=_object((), name=TEXT, type=TEXT),
    ),
    "SlackForm": _object(("payload",), payload={**TEXT, "description": "JSON of a block_actions payload"}),
}  # fmt: skip
"""By name, as ``#/components/schemas`` has them."""
