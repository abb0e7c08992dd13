"""What must never reach a journal, a log or a page is cut out of every error text here."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_TEXT = 300
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]+@")
_QUERY = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s?#]+)[?#][^\s]+")
_BEARER = re.compile(r"(?i)\b(bearer|basic|token|apikey|api[_-]key|password|secret)([=:\s]+)[^\s,;&\"']+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without ``secrets``, credentials in URLs, query strings and bearer tokens; at most 300 characters."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _USERINFO.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1?***", text)
    text = _BEARER.sub(r"\1\2***", text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
