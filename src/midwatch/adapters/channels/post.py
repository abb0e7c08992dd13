"""Mail to many, one at a time: what became of each is said so exactly that none need be sent twice.

Until the server answers to the whole of a mail nobody knows whether it took it. ``Handed`` tells the five ends apart: taken,
refused for good, not now, unreachable (nothing was begun), and in doubt (begun, and no answer).
"""

from __future__ import annotations

import asyncio
import contextlib
import email.policy
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final, Literal

import aiosmtplib

from midwatch.adapters.channels.email import Security
from midwatch.adapters.channels.redact import redact
from midwatch.model.errors import MidwatchError

# Headers stay on one line: folded, the address by which one unsubscribes would be encoded, and no program would find it.
_AS_IT_IS: Final = email.policy.SMTP.clone(max_line_length=990)
End = Literal["sent", "refused", "later", "unreachable", "in_doubt"]


@dataclass(frozen=True)
class Handed:
    """``why`` is the server's word, without what it repeats of ours; "" when it was taken."""

    end: End
    why: str = ""


class Post:
    """Hands mails to a server; ``user`` and ``password`` are asked at each one. Arguments as those of ``EmailChannel``."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security = "starttls",
        user: Callable[[], str] | None = None,
        password: Callable[[], str] | None = None,
        timeout_seconds: float = 10.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._security = host, port, security
        self._user, self._password = user, password
        self._timeout, self._context = timeout_seconds, context

    def _credentials(self) -> tuple[str, str]:
        return self._user() if self._user else "", self._password() if self._password else ""

    async def hand(self, mail: EmailMessage) -> Handed:
        """To whom its ``To`` says. Never raises but when cancelled."""
        try:
            user, password = await asyncio.to_thread(self._credentials)  # a command may be asked for them
        except MidwatchError as error:
            return Handed("unreachable", str(error))
        secrets = (password, user, str(mail["To"]))
        server = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=user or None,
            password=password or None,
            timeout=self._timeout,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._context,
        )
        try:
            await server.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Handed("unreachable", _words(error, secrets))
        try:
            await server.sendmail(str(mail["From"]), [str(mail["To"])], mail.as_bytes(policy=_AS_IT_IS))
        except aiosmtplib.SMTPRecipientsRefused as error:
            final = all(one.code >= 500 for one in error.recipients)
            return Handed("refused" if final else "later", _words(error, secrets))
        except aiosmtplib.SMTPSenderRefused as error:  # of us, not of whom it is for
            return Handed("unreachable", _words(error, secrets))
        except aiosmtplib.SMTPResponseException as error:
            return Handed("later", _words(error, secrets))
        except ValueError as error:  # an address that is none
            return Handed("refused", _words(error, secrets))
        except (aiosmtplib.SMTPException, OSError) as error:
            return Handed("in_doubt", _words(error, secrets))
        finally:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await server.quit()
        return Handed("sent")


def _words(error: Exception, secrets: tuple[str, ...]) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"the mail server answered {error.code}"
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return f"the mail server answered {error.recipients[0].code}"
    return redact(f"the mail server cannot be reached: {str(error) or type(error).__name__}", secrets)
