"""The OpenAPI document of everything that is spoken on port 8484: the JSON API, and the doors for other systems, which are
plain ASGI (``alert_routes``, ``opsgenie_routes``, ``pager_routes``, ``slack_routes``) and therefore declared by hand, in
``openapi_bodies``. A test sends what it allows and what it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from midwatch.faces.api import openapi_bodies as bodies
from midwatch.shell.health import product_version

Json = dict[str, Any]

SCHEMES: Final[Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "a person's token, a program's, or the key of a sender",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "the password is the key of a sender"},
    "GenieKey": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "GenieKey and the key"},
}
KEYED: Final[list[Json]] = [{"bearer": []}, {"basic": []}]
REFUSALS: Final[Json] = {
    "400": {"description": "what was sent is not understood; the answer says why, in the sender's own API's words"},
    "401": {"description": "no integration has that key, or the signature is not right"},
    "405": {"description": "only POST is understood here"},
    "408": {"description": "the body took too long"},
    "413": {"description": "the body is too large"},
    "429": {"description": "more than the sender may send; Retry-After says when to come again"},
    "503": {"description": "the journal does not take it now; Retry-After says when to come again"},
}


def document(routes: Sequence[BaseRoute]) -> Json:
    """Of these routes and the doors for other systems."""
    found = get_openapi(title="midwatch", version=product_version(), routes=routes)
    found["paths"] = {**found["paths"], **_doors()}
    components = found.setdefault("components", {})
    components.setdefault("schemas", {}).update(bodies.SCHEMAS)
    components["securitySchemes"] = SCHEMES
    return found


def _doors() -> Json:
    kinds = ("Alertmanager", "Grafana")
    return {
        **{f"/in/{kind.lower()}": {"post": _post(f"{kind}'s webhook", _json(f"{kind}Webhook"))} for kind in kinds},
        "/in/json": {"post": _post("Any JSON, read as the integration's fields say", _json("AnyAlert"))},
        "/in/email": {"post": _post("The text of an e-mail", _mail())},
        "/in/cloudevents": {"post": _post("CloudEvents 1.0", _events(), parameters=_BINARY, accepted="202")},
        "/v2/enqueue": {
            "post": _post("PagerDuty's Events API v2", _json("PagerDutyEvent"), security=[], accepted="202")
        },
        "/v2/change/enqueue": {
            "post": _post("PagerDuty's change events", _json("PagerDutyChange"), security=[], accepted="202")
        },
        **_opsgenie(),
        "/in/pagerduty/{channel}": {
            "post": _hook("What somebody did in PagerDuty", _json("PagerDutyWebhook"), "X-PagerDuty-Signature")
        },
        "/in/opsgenie/{channel}": {"post": _hook("What somebody did in Opsgenie", _json("OpsgenieWebhook"))},
        "/in/slack/{channel}": {
            "post": _hook(
                "A button in Slack",
                {"application/x-www-form-urlencoded": {"schema": _ref("SlackForm")}},
                "X-Slack-Signature",
                "X-Slack-Request-Timestamp",
                accepted="200",
            )
        },
    }


def _post(
    summary: str,
    content: Json,
    *,
    security: Sequence[Json] = KEYED,
    parameters: Sequence[Json] = (),
    accepted: str = "200",
    required: bool = True,
) -> Json:
    return {
        "summary": summary,
        "security": list(security),
        "parameters": list(parameters),
        "requestBody": {"required": required, "content": content},
        "responses": {accepted: {"description": "it is journaled"}, **REFUSALS},
    }


def _hook(summary: str, content: Json, *signed: str, accepted: str = "202") -> Json:
    """``signed``: the headers that say who sends; without any it is a secret in Authorization."""
    headers = [{"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in signed]
    parameters = [_path("channel", "the channel's name in the settings"), *headers]
    told = _post(summary, content, security=[] if signed else KEYED, parameters=parameters, accepted=accepted)
    described = {"description": "it was taken, or is of no use here; the body says which"}
    responses = {**told["responses"], accepted: described, "404": {"description": "there is no such channel"}}
    return {**told, "responses": {**responses, "409": {"description": "it was here before, or is too old"}}}


def _opsgenie() -> Json:
    keyed = [{"GenieKey": []}, *KEYED]
    which = [_path("identifier", "the alias"), {"name": "identifierType", "in": "query", "schema": {"type": "string"}}]
    unprocessable = {"422": {"description": "sound JSON that cannot be done; errors says why, field by field"}}

    def write(summary: str, schema: str, parameters: Sequence[Json], required: bool) -> Json:
        told = _post(summary, _json(schema), security=keyed, parameters=parameters, accepted="202", required=required)
        return {**told, "responses": {**told["responses"], **unprocessable}}

    def read(summary: str, parameters: Sequence[Json]) -> Json:
        answers = {"200": {"description": "as Opsgenie answers"}, "404": {"description": "there is none"}, **REFUSALS}
        return {"summary": summary, "security": keyed, "parameters": list(parameters), "responses": answers}

    asked: list[Json] = [
        {"name": "query", "in": "query", "schema": {"type": "string"}},
        *({"name": name, "in": "query", "schema": {"type": "integer"}} for name in ("offset", "limit")),
    ]
    one = "/v2/alerts/{identifier}"
    return {
        "/v2/alerts": {
            "post": write("Opsgenie: create an alert", "OpsgenieAlert", (), True),
            "get": read("Opsgenie: list this integration's alerts", asked),
        },
        "/v2/alerts/count": {"get": read("Opsgenie: how many there are", asked)},
        one: {"get": read("Opsgenie: one alert", which)},
        f"{one}/close": {"post": write("Opsgenie: close", "OpsgenieWord", which, False)},
        f"{one}/acknowledge": {"post": write("Opsgenie: acknowledge", "OpsgenieWord", which, False)},
        f"{one}/notes": {
            "post": write("Opsgenie: add a note", "OpsgenieNote", which, True),
            "get": read("Opsgenie: an alert's notes", which),
        },
        "/v2/alerts/requests/{requestId}": {
            "get": read("Opsgenie: what became of a request", [_path("requestId", "as the request was answered")])
        },
    }


def _events() -> Json:
    many = {"schema": {"type": "array", "items": _ref("CloudEvent")}}
    return {
        "application/cloudevents+json": {"schema": _ref("CloudEvent")},
        "application/cloudevents-batch+json": many,
        "application/json": {"schema": {}},  # in binary mode the body is the data
    }


_BINARY: Final = [
    {"name": f"ce-{name}", "in": "header", "description": "in binary mode", "schema": {"type": "string"}}
    for name in ("id", "source", "specversion", "type", "subject", "time")
]


def _mail() -> Json:
    return {"message/rfc822": {"schema": {"type": "string", "pattern": r"^Subject: \w"}}}


def _path(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _ref(schema)}}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
