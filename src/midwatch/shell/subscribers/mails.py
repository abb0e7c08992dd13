"""The mails to subscribers: plain text, with headers by which a mail program unsubscribes in one step (RFC 8058)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import urlsplit

from midwatch.model.mailings import Mailing
from midwatch.shell.subscribers import links
from midwatch.shell.subscribers.book import CONFIRM_SECONDS, Subscriber

MAX_SUBJECT = 200


@dataclass(frozen=True)
class Letterhead:
    """What all mails share: ``page`` is where customers read the page, ``door`` where links lead ("" where none is served:
    then only a person can take somebody off)."""

    title: str
    sender: str
    page: str
    door: str
    key: bytes

    def leave_url(self, one: Subscriber) -> str:
        return f"{self.door}/leave/{links.token(self.key, 'leave', one.ident)}"

    def confirm_url(self, one: Subscriber) -> str:
        until = one.asked_at + CONFIRM_SECONDS
        return f"{self.door}/confirm/{links.token(self.key, 'confirm', one.ident, until)}"


def news(head: Letterhead, one: Subscriber, mailing: Mailing, now: float) -> EmailMessage:
    """What the page says of an incident, in its words."""
    mail = _mail(head, one, f"{head.title}: {mailing.subject}", f"{mailing.ident}/{one.ident}", now)
    conversation = _ident(head, f"{mailing.ident.partition('/')[0]}/{one.ident}")
    mail["In-Reply-To"] = mail["References"] = conversation
    mail.set_content("\n".join([mailing.subject, "", mailing.text, "", *_foot(head, one)]) + "\n")
    return mail


def welcome(head: Letterhead, one: Subscriber, now: float) -> EmailMessage:
    """Asks the owner of the address whether they want it, or reminds one who said so that they did."""
    mail = _mail(head, one, f"{head.title}: ", f"welcome/{one.ident}/{one.asked_at:.0f}", now)
    about = f"when something happens to {_named(one.components)}" if one.components else "when something happens"
    if one.confirmed_at is None:
        mail.replace_header("Subject", _line(f"{head.title}: do you want mail about incidents?"))
        lines = [
            f"Somebody asked that {head.title} write to this address {about}.",
            "",
            "Yes, I want that (open it within a day and press the button):",
            head.confirm_url(one),
            "",
            "If it was not you, do nothing: there will be no more mail, and the address is forgotten in a day.",
        ]
    else:
        mail.replace_header("Subject", _line(f"{head.title}: you get mail about incidents already"))
        lines = [
            f"Somebody asked that {head.title} write to this address. It does already, {about}.",
            "",
            *_foot(head, one),
        ]
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _named(components: Sequence[str]) -> str:
    return " or ".join(components)


def _foot(head: Letterhead, one: Subscriber) -> list[str]:
    scope = f" about {_named(one.components)}" if one.components else ""
    lines = ["-- ", f"You get this because you subscribed to {head.title}{scope}."]
    if head.page:
        lines.append(f"The page: {head.page}")
    if head.door:
        lines.append(f"No more of it: {head.leave_url(one)}")
    return lines


def _mail(head: Letterhead, one: Subscriber, subject: str, key: str, now: float) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = head.sender
    mail["To"] = one.address
    mail["Subject"] = _line(subject)
    mail["Date"] = formatdate(now)
    mail["Message-ID"] = _ident(head, key)
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Id"] = f"<status.{_host(head)}>"
    if head.door and one.confirmed_at is not None:
        mail["List-Unsubscribe"] = f"<{head.leave_url(one)}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    elif one.confirmed_at is not None:
        mail["List-Unsubscribe"] = f"<mailto:{head.sender}?subject=unsubscribe>"
    return mail


def _host(head: Letterhead) -> str:
    return urlsplit(head.page or head.door).hostname or Address(addr_spec=head.sender).domain


def _ident(head: Letterhead, key: str) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{Address(addr_spec=head.sender).domain}>"


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_SUBJECT]
