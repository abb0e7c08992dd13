"""What the subjects of Nagios, Icinga 2 and Zabbix say, as these write them unless told otherwise.

    ** PROBLEM Host Alert: billing-1 is DOWN **              Nagios, Naemon, Icinga 1, a host
    ** RECOVERY Service Alert: web-1/HTTP is OK **           and a service of a host
    [PROBLEM] HTTP on web-1 is CRITICAL!                     Icinga 2
    Problem: High CPU utilization                            Zabbix; the host stands in the text
    Resolved in 5m 0s: High CPU utilization

The problem and its end have the same key. Source: ``notify-host-by-email`` and ``notify-service-by-email`` of Nagios' sample
``commands.cfg``; Icinga 2's ``mail-host-notification.sh``; the message templates of Zabbix' media type "Email".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_CHARS: Final = 500
_NAGIOS: Final = re.compile(
    r"^\*\*\s*([A-Z]+)\b.{0,60}?\b(Host|Service) Alert:\s*(\S.*?)\s+is\s+([A-Z]+)(?:\s*\([A-Z]+\))?\s*\*\*$",
    re.IGNORECASE,
)
_ICINGA_HOST: Final = re.compile(r"^\[([A-Z]+)\]\s*Host\s+(\S.*?)\s+is\s+([A-Z]+)!$", re.IGNORECASE)
_ICINGA_SERVICE: Final = re.compile(r"^\[([A-Z]+)\]\s*(\S.*)\s+on\s+(\S.*?)\s+is\s+([A-Z]+)!$", re.IGNORECASE)
_ZABBIX: Final = re.compile(r"^(Problem|Resolved|Updated problem)(?:\s+in\s+[0-9smhdwMy ]{1,30})?:\s*(\S.*)$")
_ZABBIX_LINE: Final = re.compile(r"^(Host|Severity):[ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE)
_ZABBIX_BODY: Final = re.compile(r"^Problem name:|^Original problem ID:|Current problem status is", re.MULTILINE)
_GIST: Final = re.compile(r"^(?:Additional Info|Info|Operational data):\s*(\S.*)$", re.MULTILINE)
_ACKNOWLEDGED: Final = re.compile(r"acknowledged: Yes\b", re.IGNORECASE)

_STATES: Final[Mapping[str, str]] = {
    "problem": "firing", "recovery": "resolved", "acknowledgement": "acknowledged",
    "flappingstart": "", "flappingstop": "", "flappingdisabled": "", "flappingend": "",
    "downtimestart": "", "downtimeend": "", "downtimecancelled": "", "downtimeremoved": "", "custom": "",
}  # fmt: skip
"""What a notification is -> the alert's state; "": words about an alert, and no alert."""
_ENDINGS: Final = (
    "flappingstop",
    "flappingdisabled",
    "flappingend",
    "downtimeend",
    "downtimecancelled",
    "downtimeremoved",
)
"""After these, what is well is over: its recovery was held back while it flapped or was in downtime."""


@dataclass(frozen=True)
class Told:
    """``state`` "" is words about the alert ``key``, and no alert. ``check`` is what is wrong at ``host``, "" for
    the host itself; ``severity`` is the sender's word."""

    key: str
    state: str
    host: str
    check: str
    severity: str


def told(subject: str, text: str) -> Told | None:
    """None for a subject that is none of these."""
    if len(subject) > MAX_CHARS:
        return None
    if found := _NAGIOS.match(subject):
        kind, sort, name, state = found.groups()
        host, _, check = name.partition("/") if sort.lower() == "service" else (name, "", "")
        return _monitored(kind, host, check, state)
    if found := _ICINGA_HOST.match(subject):
        kind, host, state = found.groups()
        return _monitored(kind, host, "", state)
    if found := _ICINGA_SERVICE.match(subject):
        kind, check, host, state = found.groups()
        return _monitored(kind, host, check, state)
    if (found := _ZABBIX.match(subject)) and _ZABBIX_BODY.search(text):
        return _zabbix(found[1], found[2], text)
    return None


def gist(text: str) -> str:
    """The line of such a message that says what was measured ("HTTP CRITICAL - Socket timeout"); "" for none."""
    found = _GIST.search(text[:4000])
    return found[1].strip() if found else ""


def _monitored(kind: str, host: str, check: str, state: str) -> Told | None:
    what = kind.lower()
    if what not in _STATES:
        return None
    well = state.lower() in ("ok", "up")
    becomes = "resolved" if well and what in _ENDINGS else _STATES[what]
    key = f"{host}/{check}" if check else host
    return Told(key.lower(), becomes, host, check, "" if well else state.lower())


def _zabbix(what: str, name: str, text: str) -> Told:
    said = {line[1].lower(): line[2] for line in _ZABBIX_LINE.finditer(text[:4000])}
    host = said.get("host", "")
    updated = "acknowledged" if _ACKNOWLEDGED.search(text) else ""
    state = {"Problem": "firing", "Resolved": "resolved"}.get(what, updated)
    key = f"{host}/{name}" if host else name
    return Told(key.lower(), state, host, name, said.get("severity", "").lower())
