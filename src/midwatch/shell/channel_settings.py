"""``channels:`` of settings.yaml, one class per type. docs/channels.md says how each is set up."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from midwatch.shell.setting_kinds import Part, Person, Secret, Text

Timeout = Annotated[float, Field(gt=0, le=30)]


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be an http or https address without a password, such as https://slack.com/api")
    return value


Address = Annotated[str, AfterValidator(_address)]
Mailbox = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;\"]+@[^\s@<>,;\"]+$", max_length=320)]
Conversation = Annotated[str, StringConstraints(pattern=r"^[CGDUW][A-Z0-9]{2,30}$")]
SlackUser = Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{2,30}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[\w .:/-]+$", max_length=80)]


class WebhookSettings(Part):
    """``url`` may be given in clear; when it carries a secret, give a reference. ``secret`` signs the body."""

    type: Literal["webhook"]
    url: Text
    secret: Secret = ""
    timeout_seconds: float = Field(default=5.0, gt=0, le=30)


class AppriseSettings(Part):
    """An Apprise URL holds the credentials, so it is always a reference."""

    type: Literal["apprise"]
    url: Secret
    timeout_seconds: float = Field(default=10.0, gt=0, le=30)


class SlackSettings(Part):
    """``channel`` is a channel's id (C...), or a person's (U...) for direct messages. With a ``signing_secret`` its buttons
    are obeyed; ``people`` says which Slack user is which person, and only these may approve. ``mention`` wakes those who
    muted the channel: here, channel, or the id of a user (U...) or of a group (S...)."""

    type: Literal["slack"]
    token: Secret = Field(min_length=1)
    channel: Conversation
    signing_secret: Secret = ""
    people: dict[SlackUser, Person] = Field(default_factory=dict)
    mention: Annotated[str, StringConstraints(pattern=r"^(|here|channel|[UWS][A-Z0-9]{2,30})$")] = ""
    api_url: Address = "https://slack.com/api"
    timeout_seconds: Timeout = 10.0

    @model_validator(mode="after")
    def _each_person_once(self) -> Self:
        names = list(self.people.values())
        if len(set(names)) < len(names):
            raise ValueError("two Slack users are one person: two people must be two")
        return self


class EmailSettings(Part):
    """``security``: starttls (required of the server), tls, or none. ``user`` and ``password`` are references."""

    type: Literal["email"]
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+$", max_length=253)]
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Mailbox
    to: tuple[Mailbox, ...] = Field(min_length=1, max_length=50)
    user: Secret = ""
    password: Secret = ""
    ca_file: str = ""
    timeout_seconds: Timeout = 10.0

    @model_validator(mode="after")
    def _no_open_password(self) -> Self:
        if self.user and self.security == "none":
            raise ValueError("user: a password is not sent over an open connection, write security: starttls or tls")
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password come together, or neither does")
        return self


class PagerDutySettings(Part):
    """``routing_key`` is the integration key of a service (Events API v2). ``source`` tells two watches apart. With the
    ``webhook_secret`` of a V3 subscription, what people do there is obeyed here."""

    type: Literal["pagerduty"]
    routing_key: Secret = Field(min_length=1)
    webhook_secret: Secret = ""
    source: Name = "midwatch"
    api_url: Address = "https://events.pagerduty.com"
    timeout_seconds: Timeout = 10.0


class OpsgenieSettings(Part):
    """``api_key`` is that of an API integration. ``teams`` are the responders. ``source`` tells two watches apart. With a
    ``webhook_secret``, which an outgoing webhook shows, what people do there is obeyed here."""

    type: Literal["opsgenie"]
    api_key: Secret = Field(min_length=1)
    webhook_secret: Secret = ""
    teams: tuple[Name, ...] = Field(default=(), max_length=50)
    source: Name = "midwatch"
    api_url: Address = "https://api.opsgenie.com"
    timeout_seconds: Timeout = 10.0


class ConsoleSettings(Part):
    type: Literal["console"]


ChannelSettings = Annotated[
    SlackSettings
    | EmailSettings
    | PagerDutySettings
    | OpsgenieSettings
    | WebhookSettings
    | AppriseSettings
    | ConsoleSettings,
    Field(discriminator="type"),
]
