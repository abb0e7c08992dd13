"""What a sender gives beside an alert's words, as a few short lines for the page: links to press, details to read at night.

Bounded, http and https only, and nothing that looks like a secret: a link that carries one is left out, a detail that is
one is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from midwatch.adapters.alerts.common import clip, safe_link, text_of
from midwatch.adapters.channels.redact import redact

MAX_SHOWN: Final = 2
"""Links, beside the one to the sender itself."""
MAX_DETAILS: Final = 5
MAX_LINK: Final = 300
MAX_LABEL: Final = 40
MAX_VALUE: Final = 80
_SECRET: Final = re.compile(r"(?i)token|secret|passw|pwd|api[_-]?key|credential|authori[sz]ation|signature|cookie")


def lines(links: Iterable[tuple[str, str]], sender: tuple[str, str], details: Any) -> tuple[str, ...]:
    """``links`` and ``sender`` are (what it is called, address); of ``details`` the first short scalar members are shown."""
    shown = [line for name, address in links if (line := _link(name, address, "Link"))][:MAX_SHOWN]
    at_sender, told = _link(*sender, "Sender"), _details(details)
    return (*dict.fromkeys(shown + [line for line in (at_sender, told) if line]),)


def _link(name: str, address: str, otherwise: str) -> str:
    if len(address) > MAX_LINK or not safe_link(address):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if "@" in parts.netloc or _SECRET.search(parts.query):
        return ""
    return f"{clip(' '.join(redact(name).split()), MAX_LABEL) or otherwise}: {address}"


def _details(details: Any) -> str:
    told: list[str] = []
    for name, value in details.items() if isinstance(details, dict) else ():
        words = " ".join(text_of(value).split()) if isinstance(value, str | int | float) else ""
        if not words or len(words) > MAX_VALUE or len(name) > MAX_LABEL:
            continue
        told.append(redact(f"{name}: {'***' if _SECRET.search(name) else words}"))
        if len(told) == MAX_DETAILS:
            break
    return clip("; ".join(told), MAX_DETAILS * (MAX_LABEL + MAX_VALUE + 4))
