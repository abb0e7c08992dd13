"""An incident as Block Kit. Every text that is not ours is plain text or escaped, so that no title can call ``@channel``.

Bounds (docs.slack.dev/reference/block-kit): header 150 characters, section 3,000, 25 buttons, button text 75, value
2,000, ids 255, confirmation text 300, text of the message 40,000; of the blocks together about 13,000.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from midwatch.model.standing import Asked, Standing

Block = dict[str, Any]

MAX_ASKED: Final = 3
MAX_LINKS: Final = 3
SECTION: Final = 3000
NEWS: Final = 2500
_SIGN: Final = {1: "\U0001f534", 2: "\U0001f7e0", 3: "\U0001f7e1", 4: "\U0001f535"}


def escape(text: str) -> str:
    """As Slack's mrkdwn wants it: the three characters that open its markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def root(shown: Standing, text: str, key: str, mention: str = "", room: str = "") -> list[Block]:
    """The incident's message. ``mention`` is Slack markup of ours (``<!here>``), ``key`` the idempotency key, ``room`` the
    id of its war room."""
    sign = "\N{WHITE HEAVY CHECK MARK}" if shown.over else _SIGN.get(shown.severity, "")
    blocks: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": short(f"{sign} {shown.subject}".strip(), 150)}}
    ]
    if mention:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": mention}})
    blocks += said(text)
    facts = [shown.phase, f"acknowledged by {shown.acknowledged_by}" if shown.acknowledged_by else "", key]
    if shown.over and shown.acknowledged_by:
        facts[1] = f"was acknowledged by {shown.acknowledged_by}"
    words = " · ".join(fact for fact in facts if fact)
    beside: list[Block] = [{"type": "plain_text", "text": short(words, 300)}]
    if room:
        beside.append({"type": "mrkdwn", "text": f"War room: <#{room}>"})
    blocks.append({"type": "context", "elements": beside})
    return blocks + buttons(shown)


def reply(shown: Standing, text: str, key: str) -> list[Block]:
    """A page that is said again, in the incident's thread, with its own buttons: it is what is seen first."""
    context = {"type": "context", "elements": [{"type": "plain_text", "text": short(key, 300)}]}
    return [*said(text), context, *buttons(shown)]


def said(text: str) -> list[Block]:
    """Plain text in as many sections as it takes, two at most."""
    parts = [text[i : i + SECTION] for i in range(0, min(len(text), 2 * SECTION), SECTION)]
    return [{"type": "section", "text": {"type": "plain_text", "text": part}} for part in parts if part.strip()]


def buttons(shown: Standing) -> list[Block]:
    if shown.over:
        return []
    first: list[Block] = []
    if not shown.acknowledged_by:
        first.append(_button("ack", shown.incident, "Acknowledge", "primary"))
    first.append(_button("escalate", shown.incident, "Escalate", confirm="Wake the next level now?"))
    first += [_link(shown.incident, number, *link) for number, link in enumerate(shown.links[:MAX_LINKS])]
    rows = [_row(first)]
    for one in shown.asked[:MAX_ASKED]:
        rows.append(
            {"type": "section", "text": {"type": "plain_text", "text": short(f"{one.action}: {one.words}", 200)}}
        )
        rows.append(_row([*_answers(one)]))
    return rows


def _answers(one: Asked) -> Iterable[Block]:
    twice = " It cannot be undone, and needs two people." if one.two_people else ""
    yes = f"{short(one.words, 200)}, now?{twice}"
    yield _button("approve", one.action, f"Approve {one.action}", "primary", confirm=yes)
    yield _button("refuse", one.action, f"Refuse {one.action}", "danger")


def _link(incident: str, number: int, text: str, url: str) -> Block:
    return {**_button(f"open{number or ''}", incident, text), "url": url}


def _button(verb: str, target: str, text: str, style: str = "", confirm: str = "") -> Block:
    made: Block = {
        "type": "button",
        "action_id": short(f"midwatch/{verb}/{target}", 255),
        "value": target,
        "text": {"type": "plain_text", "text": short(text, 75)},
    }
    if style:
        made["style"] = style
    if confirm:
        made["confirm"] = {
            "title": {"type": "plain_text", "text": "Are you sure?"},
            "text": {"type": "plain_text", "text": short(confirm, 300)},
            "confirm": {"type": "plain_text", "text": "Yes"},
            "deny": {"type": "plain_text", "text": "No"},
        }
    return made


def _row(elements: list[Block]) -> Block:
    return {"type": "actions", "elements": elements}
