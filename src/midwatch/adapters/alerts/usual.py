"""The words for how bad it is that each sender usually has, and what becomes of them: for warnings before the night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from midwatch.adapters.alerts import opsgenie, pagerduty
from midwatch.adapters.alerts.common import SEVERITIES
from midwatch.model.alerts import INFORMS

_PROMETHEUS: Final = {word: SEVERITIES[word] for word in ("critical", "warning", "info")}
USUAL: Final[Mapping[str, Mapping[str, int]]] = {
    "pagerduty": pagerduty.RATED,
    "opsgenie": {word: SEVERITIES[word.lower()] for word in opsgenie.PRIORITIES},
    "alertmanager": _PROMETHEUS,
    "grafana": _PROMETHEUS,
    "email": {word: SEVERITIES[word] for word in ("critical", "warning")},  # Nagios, Icinga
}
"""Wire format -> the sender's word -> 1 to 4, or 5: it informs. Formats without words of their own are not here."""


def quiet(kind: str, severities: Mapping[str, int], page_severity: int) -> dict[str, int]:
    """The usual words of ``kind`` that open an incident which pages nobody. What ``severities`` names (in small letters) is
    meant so, and what only informs is no incident."""
    usual = USUAL.get(kind, {})
    return {
        word: rating
        for word, rating in usual.items()
        if page_severity < rating < INFORMS and word.lower() not in severities
    }
