"""``/midwatch ...`` in Slack: what a slash command says, read without a look at any incident. Pure.

Slack posts a form (docs.slack.dev/interactivity/implementing-slash-commands): ``text`` is what stands after the command, in
which ``&``, ``<`` and ``>`` are escaped and, if the app asks for it, a person is ``<@U012ABC|name>`` and a channel
``<#C012ABC|name>``. Slash commands cannot be given in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from msgspec import Struct

MAX_TEXT: Final = 3000
_INCIDENT = re.compile(r"(?:inc-)?0*([1-9]\d{0,8})", re.IGNORECASE)
_SEVERITY = re.compile(r"(?:sev-?)?([1-4])(?:\s+|$)", re.IGNORECASE)
_PERSON = re.compile(r"<@([UW][A-Z0-9]+)(?:\|([^>]*))?>")
_OTHER = re.compile(r"<[#!]([^>|]*)(?:\|([^>]*))?>|<([^>|]+)(?:\|[^>]*)?>")

USAGE: Final = {
    "status": "what is going on",
    "declare": "[SEV2] what is wrong: an incident opens, about the service that comes first",
    "ack": "[INC-7] it is yours",
    "escalate": "[INC-7] wake the next level now",
    "resolve": "[INC-7] [why]: it is over",
    "severity": "[INC-7] 2 [why]: how bad it is; - leaves it to the facts",
    "role": "[INC-7] commander [@who]: who leads, speaks, operates, writes; - frees it",
    "decide": "[INC-7] what was decided",
    "tick": "[INC-7] 2: a step of the checklist is done",
    "untick": "[INC-7] 2: it is not",
    "task": "[INC-7] [@who] what is to be done now",
    "give": "[INC-7] 3 [@who]: who does task 3",
    "done": "[INC-7] 3: task 3 is done",
    "note": "[INC-7] anything for the timeline",
}
"""What may be said -> how. In the room of an incident its number is not needed."""
VERBS: Final = {"give": "task_give", "done": "task_done"}
"""Where the journal's word for it is another one."""


class Typed(Struct, frozen=True):
    """``user`` is Slack's id, ``name`` what the workspace calls them, ``channel`` where it was typed."""

    text: str
    user: str
    name: str
    channel: str


class Said(Struct, frozen=True):
    """``verb`` as the journal says it; ``incident`` ("7", or "" where it was not named); ``value`` and ``note`` as commands
    have them. ``why`` says what is wrong with it, "" for nothing."""

    verb: str
    incident: str = ""
    value: str = ""
    note: str = ""
    why: str = ""


def typed(body: bytes) -> Typed | None:
    """None for a form that is no slash command. Raises ValueError for what is no form."""
    fields = parse_qs(body.decode("utf-8"), max_num_fields=40)
    if "ssl_check" in fields:  # Slack looks at the certificate now and then, and wants a 200
        return Typed("help", "", "", "")
    if "command" not in fields:
        return None
    text, user, name, channel = (fields.get(key, [""])[0] for key in ("text", "user_id", "user_name", "channel_id"))
    return Typed(text[:MAX_TEXT], user[:40], name[:40], channel[:40])


def read(text: str, people: Mapping[str, str]) -> Said:
    """What ``text`` says. ``people``: Slack's id of a user -> person."""
    plain = _plain(text, people)
    word, rest = _cut(plain)
    word = word.lower()
    if word in ("", "help"):
        return Said("help")
    if word not in USAGE:
        return Said(word, why=f"there is no {word[:40]!r}")
    if word == "declare":
        match = _SEVERITY.match(rest)
        value, note = (match[1], rest[match.end() :]) if match else ("2", rest)
        return Said(word, "", value, note, "" if note else "the words are missing")
    incident, rest = _incident(word, rest)
    verb = VERBS.get(word, word)
    match word:
        case "decide" | "note":
            return Said(verb, incident, note=rest, why="" if rest else "the words are missing")
        case "resolve":
            return Said(verb, incident, note=rest)
        case "severity":
            value, note = _cut(rest)
            return Said(verb, incident, value, note)
        case "task":
            who, what = _cut(rest)
            who, what = (who[1:], what) if who.startswith("@") else ("", rest)
            return Said(verb, incident, who, what, "" if what else "what is to be done is missing")
        case "role" | "give":
            value, who = _cut(rest)
            return Said(verb, incident, f"{value} {who.removeprefix('@')}".strip())
    return Said(verb, incident, rest)


def usage(command: str = "/midwatch") -> str:
    return "\n".join(f"{command} {word} {how}" for word, how in USAGE.items())


def _cut(text: str) -> tuple[str, str]:
    head, _, rest = text.strip().partition(" ")
    return head, rest.strip()


def _incident(word: str, text: str) -> tuple[str, str]:
    """A number of its own is an incident only where nothing else is a number: ``tick 2`` is step 2."""
    head, rest = _cut(text)
    match = _INCIDENT.fullmatch(head)
    if match is None:
        return "", text
    named = head.lower().startswith("inc-")
    numbers = word in ("severity", "tick", "untick", "give", "done")
    prose = word in ("decide", "note", "task", "resolve")  # "decide 2 hosts go away" is about no incident 2
    return (match[1], rest) if named or not (numbers or prose) else ("", text)


def _plain(text: str, people: Mapping[str, str]) -> str:
    """Slack's markup as people read it; somebody whom the settings name is that person."""
    text = " ".join(text.split())
    text = _PERSON.sub(lambda at: "@" + (people.get(at[1]) or at[2] or at[1]).replace(" ", "\u00a0"), text)
    text = _OTHER.sub(lambda found: found[2] or found[1] or found[3] or "", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
