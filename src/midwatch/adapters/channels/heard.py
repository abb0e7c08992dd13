"""What people do at a product that a channel pages through, once it is read: the same for PagerDuty and Opsgenie."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from midwatch.adapters.alerts.common import clip

MAX_BODY_BYTES: Final = 256 * 1024
"""PagerDuty drops what is larger itself; an alert of Opsgenie is much smaller."""
MAX_TEXT: Final = 1000
MAX_NAME: Final = 60
MAX_KEY: Final = 512


class Who(Struct, frozen=True):
    """A person as the product has them; what it does not say is ""."""

    ident: str = ""
    email: str = ""
    name: str = ""


class Heard(Struct, frozen=True):
    """One thing that was done there.

    ``key`` is its own (sent again, it is the same); ``at`` when, in unix seconds, 0 where that is not said; ``place`` the
    dedup key or alias, ``incident`` and ``title`` what the product itself calls it. ``verb`` is a command of ours, "" when
    there is nothing to obey, and ``why`` says why. ``by`` is None when the product did it by itself. ``to`` is who has it
    now, ``text`` a note.
    """

    key: str
    at: float = 0.0
    place: str = ""
    incident: str = ""
    title: str = ""
    verb: str = ""
    why: str = ""
    by: Who | None = None
    to: Who | None = None
    text: str = ""


def read(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. Raises ValueError."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("the body is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("the body is no JSON object")
    return found


def part(value: Any, key: str) -> dict[str, Any]:
    """``value[key]`` where that is an object, else nothing."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def text(value: dict[str, Any], key: str, most: int = MAX_KEY) -> str:
    """``value[key]`` where that is text, without what a terminal would obey."""
    found = value.get(key)
    return clip(found.strip(), most) if isinstance(found, str) else ""
