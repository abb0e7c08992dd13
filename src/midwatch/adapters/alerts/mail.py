"""An e-mail as an alert: the RFC 5322 text of a message, as a mail server hands it over.

Its subject without the words for a state ("RESOLVED: disk full on db-1") makes the key, unless the message says more:
``X-Midwatch-Key``, ``X-Midwatch-State``, ``X-Midwatch-Severity``, ``X-Midwatch-Service``. What Nagios, Icinga and Zabbix
write is read by ``mail_subjects.py``. An automatic answer (RFC 3834) is no alert.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Final

from midwatch.adapters.alerts.common import (
    SEVERITIES,
    Decoded,
    Format,
    Headers,
    Rules,
    alert,
    clip,
    entity_key,
    header_key,
    plain_accepted,
    plain_refused,
)
from midwatch.adapters.alerts.generic import STATES, state_of
from midwatch.adapters.alerts.mail_subjects import Told, gist, told
from midwatch.model.alerts import MAX_KEY, MAX_NAME, MAX_SUMMARY
from midwatch.model.errors import IngestError

MAX_BYTES: Final = 1024 * 1024
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_REPLY: Final = re.compile(r"^\s*(?:(?:re|fwd?|aw|wg)\s*:\s*)+", re.IGNORECASE)
_MARKED: Final = re.compile(
    r"^\s*(?:\[([A-Za-z0-9 ]{1,20})\]|\*\*\s*([A-Za-z0-9 ]{1,20})\s*\*\*|([A-Za-z0-9]{1,20})\s*[:!-])\s*"
)


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError for what is no message."""
    try:
        message = BytesParser(policy=policy.default).parsebytes(body)
        subject = " ".join(str(message["subject"] or "").split())
        sender = str(message["from"] or "")
        automatic = str(message["auto-submitted"] or "no").partition(";")[0].strip().lower()
        text = _text(message)
        said = {
            name: str(message[f"x-midwatch-{name}"] or "").strip() for name in ("key", "state", "severity", "service")
        }
        date = str(message["date"] or "")
    except (MessageError, LookupError, ValueError, AttributeError, IndexError, TypeError) as error:
        raise IngestError(f"not an e-mail: {type(error).__name__}") from error
    if not subject and not text.strip():
        raise IngestError("the message has neither a subject nor a text")
    if automatic in ("auto-replied", "auto-notified"):
        return Decoded(problems=(f"an automatic answer: {subject[:100]}",))
    subject = _REPLY.sub("", subject)
    found = told(subject, text)
    if found is not None:
        return _monitored(found, said, rules, min(_sent(date, now), now), sender, subject, text)
    name, words = marked(subject)
    try:
        state = state_of(said["state"]) if said["state"] else next((STATES[w] for w in words if w in STATES), "firing")
    except ValueError as error:
        raise IngestError(str(error)) from error
    one = alert(
        rules,
        said["key"] or name.lower() or text.strip().lower()[:200],
        state,
        min(_sent(date, now), now),
        severity=said["severity"] or next((w for w in words if w in SEVERITIES and SEVERITIES[w] != 5), ""),
        name=name,
        summary=text.strip(),
        entity=entity_key("service", said["service"]) if said["service"] else "",
        labels={"from": sender, "subject": subject},
        by=sender if state != "firing" else "",
    )
    return Decoded((one,))


def _monitored(
    found: Told, said: Mapping[str, str], rules: Rules, at: float, sender: str, subject: str, text: str
) -> Decoded:
    """What a monitoring system's own subject says. Words about an alert (it flaps, a downtime began) become its note."""
    key = said["key"] or found.key
    if not found.state:
        note = clip(f"{subject}\n{text.strip()}", MAX_SUMMARY)
        return Decoded(notes=((clip(f"{rules.source}:{key}", MAX_KEY), clip(sender or "its sender", MAX_NAME), note),))
    service = said["service"] or rules.service
    name = found.check or "Host alert"
    one = alert(
        rules,
        key,
        found.state,
        at,
        severity=said["severity"] or found.severity,
        name=f"{name} on {found.host}" if service and found.host else name,
        summary=f"{gist(text)}\n{text.strip()}".strip(),
        entity=entity_key("service", said["service"]) if said["service"] else "",
        labels={"host": found.host, "check": found.check, "from": sender, "subject": subject},
        by=sender if found.state != "firing" else "",
    )
    return Decoded((one,))


def marked(subject: str) -> tuple[str, list[str]]:
    """The subject without the marks before it ("[RESOLVED]", "** PROBLEM **", "Critical:"), and the marks' words in small
    letters. A word before a colon is a mark only where it is one of those that say a state or a severity."""
    words: list[str] = []
    for _ in range(4):
        found = _MARKED.match(subject)
        if found is None:
            break
        mark = next(group for group in found.groups() if group is not None).lower()
        known = [w for w in _WORD.findall(mark) if w in STATES or w in SEVERITIES]
        if not known or not subject[found.end() :].strip():
            break
        words += known
        subject = subject[found.end() :]
    return subject.strip(), words


def _text(message: EmailMessage) -> str:
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    content = part.get_content()
    if not isinstance(content, str):
        return ""
    if part.get_content_subtype() != "html":
        return content
    reader = _Words()
    reader.feed(content)
    return " ".join(" ".join(reader.words).split())


class _Words(HTMLParser):
    """The text of a page, without what is not shown."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "title") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _sent(date: str, now: float) -> float:
    try:
        at = parsedate_to_datetime(date)  # without a zone where it says -0000, which is UTC
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return now


FORMAT: Final = Format("email", MAX_BYTES, decode, plain_accepted, plain_refused, header_key)
