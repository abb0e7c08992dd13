"""Pages through Apprise: one URL for each of its 100+ services (mail, chat, SMS, push).

Apprise carries no idempotency key, so the key stands at the end of the text: after a crash the same page may come twice,
and a person can see that it is the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import quote

from midwatch.adapters.channels.redact import redact
from midwatch.model.errors import ChannelError
from midwatch.model.events import PageOrdered


class AppriseChannel:
    """``url`` is a function, asked at each send: an Apprise URL is a secret, and none is kept here. ``{to}`` in it stands
    for the address of the person whom a page is for: one SMS account, everybody's numbers."""

    def __init__(self, name: str, url: Callable[[], str], *, timeout_seconds: float = 10.0) -> None:
        self._name, self._url, self._timeout = name, url, timeout_seconds

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        import apprise  # half a second to import: only who pages with it pays

        # Apprise logs what it sends, URLs included, at levels that a user may have turned on.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        url = await asyncio.to_thread(self._url)
        if "{to}" in url:
            if not page.to:
                raise ChannelError(
                    "the Apprise URL has {to} in it, and the page names no address",
                    retry_after_seconds=None,
                    hint="give the person's contact a `to`",
                )
            url = url.replace("{to}", quote(page.to, safe="+@"))
        target = apprise.Apprise()
        if not target.add(url):
            raise ChannelError("Apprise does not understand the URL", retry_after_seconds=None)
        kind = apprise.NotifyType.FAILURE if page.severity <= 2 else apprise.NotifyType.WARNING
        text = f"{page.text}\n\n{page.incident} page {page.key}"
        try:
            sent = await asyncio.wait_for(
                target.async_notify(body=text, title=page.subject, notify_type=kind, body_format="text"), self._timeout
            )
        except TimeoutError as error:
            raise ChannelError("Apprise's service did not answer in time") from error
        except Exception as error:
            raise ChannelError(redact(f"Apprise failed: {type(error).__name__}: {error}", (url,))) from error
        if not sent:
            raise ChannelError("Apprise's service did not take the page")
