"""The paths of Opsgenie's Alert API under ``/v2/alerts``: create, close, acknowledge, note, list, get, and what became of a
request. An integration sees its own alerts and no others."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from midwatch.adapters.alerts import opsgenie, opsgenie_views
from midwatch.adapters.alerts.common import Answer, Decoded, Format, Headers, Rules, header_key
from midwatch.model.alerts import AlertRecord
from midwatch.model.errors import IngestError

PREFIX: Final = "/v2/alerts"
MAX_REQUESTS: Final = 2000
"""Requests whose outcome can still be asked for."""
_TOLD: Final = {
    "close": ("resolved", "Close"),
    "acknowledge": ("acknowledged", "Acknowledge"),
    "notes": ("", "Add Note"),
}

Alerts = Mapping[str, AlertRecord]


@dataclass(frozen=True)
class Reading(Format):
    """A request that only reads: ``read(name of the integration)``; raises IngestError."""

    read: Callable[[str], Answer] | None = None


class OpsgenieRoutes:
    """``alerts`` gives what state knows, ``now`` the watch's clock."""

    def __init__(self, alerts: Callable[[], Alerts], now: Callable[[], float]) -> None:
        self._alerts, self._now = alerts, now
        self._requests: OrderedDict[str, tuple[str, dict[str, Any]]] = OrderedDict()

    def spoken(self, method: str, path: str, query: str) -> Format:
        """What is meant by a request."""
        asked = dict(parse_qsl(query, max_num_fields=20))
        alias, _, what = path[len(PREFIX) :].strip("/").partition("/")
        alias = unquote(alias)
        if method == "POST" and not alias:
            return self._writing("Create", opsgenie.decode_create)
        if method == "POST" and what in _TOLD:
            state, action = _TOLD[what]

            def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
                return opsgenie.decode_told(state, alias, body, rules, now)

            return self._writing(action, decode, alias)
        if method == "GET":
            return self._reading(partial(self._read, alias, what, asked))
        return self._reading(_not_supported)

    def _writing(self, action: str, decode: Callable[..., Decoded], alias: str = "") -> Format:
        accepted = partial(self._accepted, action, alias)
        return Format("opsgenie", opsgenie.MAX_BYTES, decode, accepted, opsgenie.refused, header_key)

    def _reading(self, read: Callable[[str], Answer]) -> Reading:
        nothing = partial(opsgenie.answer, 200, {})
        return Reading("opsgenie", 1024, lambda *_: Decoded(), lambda _: nothing(), opsgenie.refused, header_key, read)

    def _accepted(self, action: str, alias: str, decoded: Decoded) -> Answer:
        """202, and the outcome is kept: the alert is journaled by now."""
        key = decoded.alerts[0].key if decoded.alerts else decoded.notes[0][0]
        source, _, name = key.partition(":")
        known = key in self._alerts()
        done = {"Create": "Created alert", "Close": "Closed alert", "Acknowledge": "Acknowledged alert"}
        told = {
            "success": known,
            "action": action,
            "processedAt": datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds"),
            "integrationId": source,
            "isSuccess": known,
            "status": done.get(action, "Added note") if known else "Alert does not exist",
            "alertId": name if known else "",
            "alias": name,
        }
        answer = opsgenie.answer(202, {"result": "Request will be processed"}, ident := str(uuid.uuid4()))
        self._requests[ident] = (source, told)
        while len(self._requests) > MAX_REQUESTS:
            self._requests.popitem(last=False)
        return answer

    def _read(self, alias: str, what: str, asked: dict[str, str], source: str) -> Answer:
        if alias == "requests" and what:
            owner, told = self._requests.get(what, ("", {}))
            if owner != source:
                raise IngestError("Request not found. It might not be processed, yet.", status=404)
            return opsgenie.answer(200, {"data": told}, what)
        mine = f"{source}:"
        if not alias or (alias == "count" and not what):
            records = (record for key, record in self._alerts().items() if key.startswith(mine))
            if alias:
                return opsgenie.answer(200, {"data": {"count": sum(1 for _ in records)}})
            return opsgenie.answer(200, {"data": opsgenie_views.page(records, asked), "paging": {}})
        record = self._alerts().get(mine + alias)
        if record is None:
            raise IngestError("Alert does not exist", status=404)
        if what == "notes":
            return opsgenie.answer(200, {"data": opsgenie_views.notes(record), "paging": {}})
        return _not_supported(source) if what else opsgenie.answer(200, {"data": opsgenie_views.whole(record)})


def _not_supported(source: str) -> Answer:
    raise IngestError("apiKey is valid, but midwatch does not support the request", status=403)
