"""Builds the channels that the settings name. No secret is kept: each channel asks for its own at each send."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from midwatch.adapters.channels.apprise import AppriseChannel
from midwatch.adapters.channels.console import ConsoleChannel
from midwatch.adapters.channels.email import EmailChannel
from midwatch.adapters.channels.opsgenie import OpsgenieChannel
from midwatch.adapters.channels.pagerduty import PagerDutyChannel
from midwatch.adapters.channels.post import Post
from midwatch.adapters.channels.slack.channel import SlackChannel
from midwatch.adapters.channels.webhook import WebhookChannel
from midwatch.model.errors import ChannelError, ConfigError
from midwatch.model.ports import Channel
from midwatch.shell.channel_settings import (
    AppriseSettings,
    ChannelSettings,
    EmailSettings,
    OpsgenieSettings,
    PagerDutySettings,
    SlackSettings,
    WebhookSettings,
)
from midwatch.shell.config import Settings, resolve

SECRETS = ("url", "secret", "token", "signing_secret", "user", "password", "routing_key", "api_key", "webhook_secret")


def build_channels(settings: Settings) -> list[Channel]:
    """One per entry of ``channels:``; a console channel when there is none, so that pages are at least seen. Raises
    ConfigError."""
    return [_built(name, one) for name, one in settings.channels.items()] or [ConsoleChannel()]


def _built(name: str, one: ChannelSettings) -> Channel:
    match one:
        case SlackSettings():
            mention = _mention(one.mention)
            return SlackChannel(
                name,
                _asked(one.token),
                one.channel,
                mention=mention,
                people=one.people,
                api_url=one.api_url,
                timeout_seconds=one.timeout_seconds,
            )
        case EmailSettings():
            return EmailChannel(
                name,
                one.host,
                one.port,
                one.sender,
                one.to,
                security=one.security,
                user=_asked(one.user) if one.user else None,
                password=_asked(one.password) if one.password else None,
                timeout_seconds=one.timeout_seconds,
                context=_trust(name, one.ca_file),
            )
        case PagerDutySettings():
            return PagerDutyChannel(
                name,
                _asked(one.routing_key),
                source=one.source,
                api_url=one.api_url,
                timeout_seconds=one.timeout_seconds,
            )
        case OpsgenieSettings():
            return OpsgenieChannel(
                name,
                _asked(one.api_key),
                teams=one.teams,
                source=one.source,
                api_url=one.api_url,
                timeout_seconds=one.timeout_seconds,
            )
        case WebhookSettings():
            secret = _asked(one.secret) if one.secret else None
            return WebhookChannel(name, _asked(one.url), secret, timeout_seconds=one.timeout_seconds)
        case AppriseSettings():
            return AppriseChannel(name, _asked(one.url), timeout_seconds=one.timeout_seconds)
        case _:
            return ConsoleChannel(name)


def build_post(name: str, one: EmailSettings) -> Post:
    """The server of the channel ``name``, for mails that are no pages. Raises ConfigError."""
    return Post(
        one.host,
        one.port,
        security=one.security,
        user=_asked(one.user) if one.user else None,
        password=_asked(one.password) if one.password else None,
        timeout_seconds=one.timeout_seconds,
        context=_trust(name, one.ca_file),
    )


def unready_channels(settings: Settings) -> str:
    """Which channels lack a secret now, in words; "" when none does. Said at the start, not with the first page."""
    lacking = []
    for name, one in settings.channels.items():
        for reference in (getattr(one, part, "") for part in SECRETS):
            try:
                resolve(reference)
            except ConfigError as error:
                lacking.append(f"channel {name} cannot page: {error}")
    return "; ".join(lacking)


def _mention(given: str) -> str:
    """As Slack's markup: ``<!here>``, ``<@U..>`` for a person, ``<!subteam^S..>`` for a group."""
    if given in ("here", "channel"):
        return f"<!{given}>"
    return f"<!subteam^{given}>" if given.startswith("S") else f"<@{given}>" if given else ""


def _trust(name: str, ca_file: str) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=str(Path(ca_file).expanduser()))
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", "") or type(error).__name__
        raise ConfigError(
            f"cannot be read as certificates: {why}", path=ca_file, key=f"channels.{name}.ca_file"
        ) from error


def _asked(reference: str) -> Callable[[], str]:
    return partial(_resolved, reference)


def _resolved(reference: str) -> str:
    """A secret that is missing now may be there in a minute: the page is tried again, not given up."""
    try:
        return resolve(reference)
    except ConfigError as error:
        raise ChannelError(str(error), retry_after_seconds=5.0, hint=error.hint) from error
