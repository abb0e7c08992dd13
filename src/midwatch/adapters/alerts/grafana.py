"""Grafana's webhook contact point: the shape of Alertmanager's webhook with more links and the measured values. Source:
Grafana's documentation, "Configure the webhook notifier for Alerting"."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from midwatch.adapters.alerts import alertmanager
from midwatch.adapters.alerts.common import Decoded, Format, Headers, Rules, header_key, labels_of, plain_accepted
from midwatch.model.alerts import Alert


class _Alert(alertmanager.OneAlert):
    dashboardURL: str = ""
    panelURL: str = ""
    values: Any = None


_one = msgspec.json.Decoder(_Alert)


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError for what is no such body; a bad alert in a good one is left out."""

    def one(raw: msgspec.Raw, whole: alertmanager.Body) -> Alert:
        said = _one.decode(raw)
        values = ", ".join(f"{name} {value}" for name, value in labels_of(said.values).items())
        return alertmanager.alert_of(said, whole, rules, now, links=(said.panelURL, said.dashboardURL), measured=values)

    return alertmanager.decode_each(body, "a Grafana webhook", one)


FORMAT: Final = Format("grafana", alertmanager.MAX_BYTES, decode, plain_accepted, alertmanager.refused, header_key)
