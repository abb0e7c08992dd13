"""Builds the channels and the actuators that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from midwatch.adapters.channels.apprise import AppriseChannel
from midwatch.adapters.channels.console import ConsoleChannel
from midwatch.adapters.channels.webhook import WebhookChannel
from midwatch.model.errors import ChannelError, ConfigError
from midwatch.model.ports import Actuator, Channel
from midwatch.shell.config import SETTINGS_FILE, AppriseSettings, Settings, WebhookSettings, resolve


def build_channels(settings: Settings) -> list[Channel]:
    """One per entry of ``channels:``; a console channel when there is none, so that pages are at least seen."""
    found: list[Channel] = []
    for name, one in settings.channels.items():
        if isinstance(one, WebhookSettings):
            secret = _asked(one.secret) if one.secret else None
            found.append(WebhookChannel(name, _asked(one.url), secret, timeout_seconds=one.timeout_seconds))
        elif isinstance(one, AppriseSettings):
            found.append(AppriseChannel(name, _asked(one.url), timeout_seconds=one.timeout_seconds))
        else:
            found.append(ConsoleChannel(name))
    return found or [ConsoleChannel()]


def unready_channels(settings: Settings) -> str:
    """Which channels lack a secret now, in words; "" when none does. Said at the start, not with the first page."""
    lacking = []
    for name, one in settings.channels.items():
        for reference in (getattr(one, "url", ""), getattr(one, "secret", "")):
            try:
                resolve(reference)
            except ConfigError as error:
                lacking.append(f"channel {name} cannot page: {error}")
    return "; ".join(lacking)


def build_actuators(settings: Settings) -> list[Actuator]:
    """What ``actuators:`` names, and the hands of the gym's fleet when one is named. Raises ConfigError."""
    if not settings.actuators and settings.fleet is None:
        return []
    from midwatch.adapters.actuators.load import fleet_section, load_actuators

    named = {**(fleet_section(settings.fleet) if settings.fleet else {}), **settings.actuators}
    return load_actuators(named, path=str(settings.folder / SETTINGS_FILE))


def _asked(reference: str) -> Callable[[], str]:
    return partial(_resolved, reference)


def _resolved(reference: str) -> str:
    """A secret that is missing now may be there in a minute: the page is tried again, not given up."""
    try:
        return resolve(reference)
    except ConfigError as error:
        raise ChannelError(str(error), retry_after_seconds=5.0, hint=error.hint) from error


async def prepare(actuators: Sequence[Actuator]) -> None:
    """Let actuators look around once before the watch begins (how indexes are defined while they are still there)."""
    for actuator in actuators:
        remember = getattr(actuator, "remember_indexes", None)
        if remember is not None:
            await remember()
