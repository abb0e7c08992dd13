"""Pages by e-mail, through the team's own SMTP server.

The same page carries the same Message-ID, so a mailbox that looks at it (most do) keeps one of two. All pages of an
incident refer to one id that no message has, which makes them a conversation. Everything that comes from elsewhere is plain
text, and header lines take no line break.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final, Literal

import aiosmtplib

from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.redact import redact
from midwatch.model.errors import ChannelError
from midwatch.model.events import PageOrdered

Security = Literal["starttls", "tls", "none"]
RETRY_SECONDS: Final = 5.0
EVERY_SECONDS: Final = 0.5
BURST: Final = 10
MAX_SUBJECT: Final = 200


class EmailChannel:
    """``user`` and ``password`` are asked at each send; without a user nobody signs in. ``security`` says how the way is
    made safe: ``starttls`` (required, never merely tried), ``tls`` from the first byte, or ``none``, where a password is
    never sent. A page that names an address (``to``) goes there instead. ``context`` is the TLS set-up, by default the
    system's own trust."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        sender: str,
        to: Sequence[str],
        *,
        security: Security = "starttls",
        user: Callable[[], str] | None = None,
        password: Callable[[], str] | None = None,
        timeout_seconds: float = 10.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._name, self._host, self._port = name, host, port
        self._sender, self._to, self._security = sender, tuple(to), security
        self._user, self._password = user, password
        self._timeout, self._context = timeout_seconds, context
        self._pace = Pace(EVERY_SECONDS, BURST)

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        user = await asyncio.to_thread(self._user) if self._user else ""
        password = await asyncio.to_thread(self._password) if self._password else ""
        secrets = (password, user)
        if user and self._security == "none":
            raise ChannelError(
                "a password is not sent over an open connection", retry_after_seconds=None, hint="security: starttls"
            )
        try:
            mail = message(page, self._sender, (page.to,) if page.to else self._to)
        except (ValueError, IndexError) as error:
            raise ChannelError(
                f"{page.person or 'the page'} has no address that is one", retry_after_seconds=None
            ) from error
        async with self._pace.turn():
            try:
                refused, _ = await aiosmtplib.send(
                    mail,
                    hostname=self._host,
                    port=self._port,
                    username=user or None,
                    password=password or None,
                    timeout=self._timeout,
                    use_tls=self._security == "tls",
                    start_tls=self._security == "starttls",
                    tls_context=self._context,
                )
            except aiosmtplib.SMTPException as error:
                raise _failed(error, secrets) from error
            except (OSError, ValueError) as error:
                why = redact(str(error) or type(error).__name__, secrets)
                raise ChannelError(
                    f"the mail server cannot be reached: {why}", retry_after_seconds=RETRY_SECONDS
                ) from error
        if refused:
            whom = ", ".join(sorted(refused))
            raise ChannelError(
                f"the mail server took it, but not for {redact(whom, secrets)}", retry_after_seconds=None
            )


def message(page: PageOrdered, sender: str, to: Sequence[str]) -> EmailMessage:
    """The page as plain text, with its key."""
    domain = Address(addr_spec=sender).domain or "midwatch.invalid"
    conversation = _ident(f"incident {page.incident}", domain)
    made = EmailMessage()
    made["From"] = sender
    made["To"] = ", ".join(to)
    made["Subject"] = _line(page.subject)
    made["Message-ID"] = _ident(page.key, domain)
    made["In-Reply-To"] = made["References"] = conversation
    made["X-Midwatch-Key"] = _line(page.key)
    made["Auto-Submitted"] = "auto-generated"
    if page.severity <= 2:
        made["Importance"] = "high"
        made["X-Priority"] = "1"
    made.set_content(f"{page.subject}\n\n{page.text}\n\n-- \n{page.incident} page {page.key}\n")
    return made


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_SUBJECT]


def _ident(key: str, domain: str) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def _failed(error: aiosmtplib.SMTPException, secrets: tuple[str, ...]) -> ChannelError:
    """5xx is final, everything else is worth another try. A server may repeat what it was told: it is redacted."""
    why = redact(str(error) or type(error).__name__, secrets)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        again = RETRY_SECONDS if error.code < 500 else None
        return ChannelError(f"the mail server does not let us in ({error.code})", retry_after_seconds=again)
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
        again = None if all(code >= 500 for code in codes) else RETRY_SECONDS
        return ChannelError(f"the mail server takes it for nobody: {why}", retry_after_seconds=again)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        again = None if error.code >= 500 else RETRY_SECONDS
        return ChannelError(f"the mail server answered {error.code}: {why}", retry_after_seconds=again)
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return ChannelError("the mail server did not answer in time", retry_after_seconds=RETRY_SECONDS)
    if isinstance(error, aiosmtplib.SMTPNotSupported) or type(error) is aiosmtplib.SMTPException:  # no STARTTLS there
        return ChannelError(f"the mail server cannot do that: {why}", retry_after_seconds=None)
    return ChannelError(f"the mail server cannot be reached: {why}", retry_after_seconds=RETRY_SECONDS)
