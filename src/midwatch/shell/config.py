"""Settings of one watch: where its folder is, what it listens on, whom it can reach.

Read from ``settings.yaml`` in the folder (or the file that ``--config`` names); the command line overrides. Secrets are
*references* (``env:NAME``, ``file:/path``, or ``file:/path#key`` for one key of a JSON file), resolved when they are used,
so that no file of ours, no journal and no log line holds one::

    tick_seconds: 5
    policy: [slos/, playbooks.yaml]
    heartbeat_url: env:DEADMAN_URL
    channels:
      phone: {type: webhook, url: "https://pager.example/in", secret: env:PAGE_SECRET}
      team: {type: slack, token: env:SLACK_TOKEN, channel: C0123456789}
    actuators:
      haproxy: {address: /run/haproxy/admin.sock}
    sources:
      prom: {kind: prometheus, url: "http://prometheus:9090", bearer_token: env:PROM_TOKEN}
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from midwatch.model.errors import ConfigError
from midwatch.shell.access_settings import AccessSettings
from midwatch.shell.channel_settings import ChannelSettings
from midwatch.shell.secret_command import from_command
from midwatch.shell.secret_reads import READS
from midwatch.shell.setting_kinds import Part, Person, Secret, Sender, Text, is_reference
from midwatch.shell.status_settings import StatusPageSettings
from midwatch.shell.tracker_settings import TrackerSettings

if TYPE_CHECKING:
    from midwatch.shell.files.yaml_lines import Problem

FOLDER_VARIABLE = "MIDWATCH_HOME"
TOKEN_VARIABLE = "MIDWATCH_TOKEN"  # a token of one's own, for the CLI
DEFAULT_FOLDER = ".midwatch"
HANDS_OFF_FILE = "HANDS-OFF"
TOKEN_FILE = "token"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SETTINGS_FILE = "settings.yaml"


class SourceSettings(Part):
    """A Prometheus-compatible API that counts promises. ``headers`` are references only; ``tenant`` is sent as
    ``X-Scope-OrgID`` (Mimir, Cortex, Thanos).

    ``step_seconds``: what is counted at once, and how often is asked; at least the longest scrape interval.
    ``delay_seconds``: a step is asked for so long after its end, when its samples are there.
    """

    kind: Literal["prometheus"] = "prometheus"
    url: Text
    bearer_token: Secret = ""
    headers: dict[str, Secret] = Field(default_factory=dict)
    tenant: Text = ""
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    step_seconds: float = 60.0
    delay_seconds: float = Field(default=15.0, ge=0, le=600)
    arithmetic: Literal["exact", "increase"] = "exact"

    @field_validator("url")
    @classmethod
    def _bare(cls, value: str) -> str:
        if not is_reference(value):
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http or https address, such as http://prometheus:9090")
            if parts.username or parts.password:
                raise ValueError("holds a password: refer to the whole url instead, env:NAME or file:/path")
        return value

    @field_validator("step_seconds")
    @classmethod
    def _fits_ledger(cls, value: float) -> float:
        if not 10 <= value <= 300 or value % 10 or 300 % value:
            raise ValueError("must be one of 10, 20, 30, 50, 60, 100, 150 and 300")
        return value


class IntegrationSettings(Part):
    """Another system that sends alerts: its wire format (``kind``) and the ``key`` that it shows.

    ``service`` is what its alerts are about where they name nothing; ``severities`` are its own words for 1 (worst) to 4, or
    5: it informs; ``fields`` is the mapping of generic JSON; ``per_minute`` bounds how many alerts are taken from it.
    """

    kind: Literal["alertmanager", "pagerduty", "opsgenie", "cloudevents", "grafana", "json", "email"]
    key: Secret = Field(min_length=1)
    service: str = Field(default="", max_length=200)
    severities: dict[str, Annotated[int, Field(ge=1, le=5)]] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)
    per_minute: int = Field(default=60_000, ge=1, le=1_000_000)


class JournalSettings(Part):
    """Where the journal is: a file in the folder, or with ``postgres`` (a reference to a libpq connection string) a database
    that several replicas share. ``replica`` is this one's name, by default its host and console port. ``backup`` is a folder
    elsewhere that gets a copy of what is new each ``backup_seconds``."""

    postgres: Secret = ""
    replica: str = Field(default="", max_length=100)
    backup: Path | None = None
    backup_seconds: float = Field(default=10.0, ge=0.1, le=86_400)


class DeadmanSettings(Part):
    """``midwatch deadman``: where it waits for heartbeats, how long the watch may be silent, and through which of the
    channels it pages (all of them when none is named)."""

    host: str = "127.0.0.1"
    port: int = Field(default=8490, ge=0, le=65535)
    token: Secret = ""
    patience_seconds: float = Field(default=180.0, ge=0.2, le=86_400)
    repeat_seconds: float = Field(default=900.0, ge=1, le=86_400)
    channels: tuple[str, ...] = ()


class Settings(Part):
    """Everything that one process needs to know before it opens its journal."""

    folder: Path = Path(DEFAULT_FOLDER)
    policy: tuple[Path, ...] = ()  # files and folders with promises, playbooks and limits
    people: tuple[Path, ...] = ()  # files and folders with people, schedules and escalations
    otlp_host: str = "127.0.0.1"
    otlp_port: int = Field(default=4318, ge=0, le=65535)  # 0: any free port
    console_host: str = "127.0.0.1"
    console_port: int = Field(default=8484, ge=0, le=65535)
    tick_seconds: float = Field(default=5.0, ge=0.05, le=300)
    store: Text = "embedded"  # or "none", or the address of a ClickHouse
    fleet: Path | None = None  # a gym fleet whose hands to use
    mode: Literal["shadow", "suggest", "ask", "canary", "auto"] | None = None  # overrides the policy's
    heartbeat_url: Text = ""
    heartbeat_seconds: float = Field(default=60.0, ge=0.05)
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)
    trackers: dict[str, TrackerSettings] = Field(
        default_factory=dict
    )  # where action items are filed; see docs/items.md
    actuators: dict[str, Any] = Field(default_factory=dict)  # read by adapters/actuators/load.py
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    tokens: dict[Person, Secret] = Field(default_factory=dict)  # each person's own; see shell/tokens.py
    access: AccessSettings = Field(default=AccessSettings(), validate_default=True)
    journal: JournalSettings = JournalSettings()
    deadman: DeadmanSettings = DeadmanSettings()
    status_page: StatusPageSettings = StatusPageSettings()
    integrations: dict[Sender, IntegrationSettings] = Field(
        default_factory=dict
    )  # who sends alerts; see docs/oncall.md

    @field_validator("store")
    @classmethod
    def _no_password(cls, value: str) -> str:
        if not is_reference(value) and "@" in value:
            raise ValueError("may hold a password: refer to the whole address instead, env:NAME or file:/path")
        return value

    @field_validator("otlp_host")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if value not in LOOPBACK:
            raise ValueError("only loopback: put a collector or a proxy with TLS in front of it")
        return value

    @field_validator("access")
    @classmethod
    def _open_to_others_only_with_tls_and_a_sign_in(cls, value: AccessSettings, info: ValidationInfo) -> AccessSettings:
        signs_in = bool(info.data.get("tokens") or value.oidc)
        if info.data.get("console_host", LOOPBACK[0]) not in LOOPBACK and not (value.tls and signs_in):
            raise ValueError(
                "other machines reach console_host only with access.tls and a sign-in (tokens or access.oidc): else leave"
                " it on loopback, with a proxy in front"
            )
        return value

    @field_validator("status_page")
    @classmethod
    def _mail_has_a_channel(cls, value: StatusPageSettings, info: ValidationInfo) -> StatusPageSettings:
        access = info.data.get("access", AccessSettings())
        if value.port is not None and value.host not in LOOPBACK and access.tls is None:
            raise ValueError(
                "other machines reach host only with access.tls: else leave it on loopback, behind a proxy"
            )
        if value.subscribers is not None:
            channel = info.data.get("channels", {}).get(value.subscribers.through)
            if channel is None or channel.type != "email":
                raise ValueError(f"subscribers.through: {value.subscribers.through!r} is no channel of type email")
        return value

    @property
    def console_scheme(self) -> str:
        return "https" if self.access.tls else "http"

    @property
    def hands_off_file(self) -> Path:
        return self.folder / HANDS_OFF_FILE

    @property
    def journal_file(self) -> Path:
        return self.folder / "journal.sqlite"

    @property
    def store_folder(self) -> Path:
        return self.folder / "store"

    @property
    def running_file(self) -> Path:
        """Where a running watch says under which addresses it can be reached."""
        return self.folder / "running.json"


def default_folder() -> Path:
    """``$MIDWATCH_HOME``, or ``./.midwatch``."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


def load_settings(folder: Path, overrides: dict[str, object] | None = None, *, file: Path | None = None) -> Settings:
    """Settings of ``folder``: ``file``, or its ``settings.yaml`` when there is one, then ``overrides`` (None means "not
    given"). Relative policy paths are taken from where the file lies.

    Raises ConfigError with path, line, key and hint: the first of what ``read_settings`` finds.
    """
    settings, problems = read_settings(folder, overrides, file=file)
    if settings is None:
        raise problems[0].error()
    return settings


def read_settings(
    folder: Path, overrides: dict[str, object] | None = None, *, file: Path | None = None
) -> tuple[Settings | None, list[Problem]]:
    """As ``load_settings``, with every problem instead of the first. Raises ConfigError when it cannot be read at all."""
    path = file or folder / SETTINGS_FILE
    given: dict[str, object] = {}
    text = ""
    if file is not None or path.exists():
        try:
            text = path.read_text("utf-8")
            read = yaml.safe_load(text) or {}
        except UnicodeDecodeError as error:
            raise ConfigError("is not UTF-8", path=str(path), hint="save it as UTF-8") from error
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            raise ConfigError(
                str(getattr(error, "problem", error)), path=str(path), line=mark.line + 1 if mark else 0
            ) from error
        if not isinstance(read, dict):
            raise ConfigError("must be a mapping", path=str(path), line=1, hint="for example: tick_seconds: 5")
        for key in ("policy", "people"):
            if isinstance(named := read.get(key), list):
                read[key] = [path.parent / str(one) for one in named]
        given.update(read)
    given.update({key: value for key, value in (overrides or {}).items() if value is not None})
    try:
        return Settings.model_validate({**given, "folder": folder}), []
    except ValidationError as error:
        from midwatch.shell.files.yaml_lines import Document, parse, problem_of

        documents, _ = parse(text, str(path))
        document = documents[0] if documents else Document(str(path), {})
        said = {key for key, value in (overrides or {}).items() if value is not None}
        line = Document("command line", {}, {(): 0})
        return None, [
            problem_of(line if str(one["loc"][0]) in said else document, (), dict(one), Settings)
            for one in error.errors()
        ]


def resolve(reference: str) -> str:
    """The secret that ``env:NAME``, ``file:/path``, ``file:/path#key`` or ``command:PROGRAM ...`` refers to; other text
    stands for itself. Each reading is counted for the audit. Raises ConfigError, which never shows the secret."""
    if not is_reference(reference):
        return reference
    try:
        secret = _looked_up(reference)
    except ConfigError:
        READS.note(reference, ok=False)
        raise
    READS.note(reference, ok=True)
    return secret


def _looked_up(reference: str) -> str:
    if reference.startswith("command:"):
        return from_command(reference.removeprefix("command:"))
    if reference.startswith("env:"):
        name = reference.removeprefix("env:")
        value = os.environ.get(name)
        if not value:
            raise ConfigError(f"the environment variable {name} is not set", hint=f"export {name}=...")
        return value
    name, _, key = reference.removeprefix("file:").partition("#")
    path = Path(name).expanduser()
    try:
        text = path.read_text("utf-8").strip()
        return str(json.loads(text)[key]) if key else text
    except UnicodeDecodeError as error:
        raise ConfigError("the secret is not UTF-8", path=str(path)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"holds no key {key!r}", path=str(path)) from error
    except OSError as error:
        raise ConfigError(f"cannot read the secret: {error.strerror}", path=str(path)) from error


def folder_token(folder: Path, *, create: bool) -> str:
    """The token that commands over HTTP carry; it lies in the folder with mode 0600.

    With ``create`` it is made when missing (or when others could read it, replaced). Returns "" when there is none.
    """
    path = folder / TOKEN_FILE
    try:
        if path.stat().st_mode & 0o077 == 0 and (token := path.read_text("ascii").strip()):
            READS.note(f"file:{path}", ok=True)
            return token
    except OSError:
        pass
    if not create:
        return ""
    token = secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(token + "\n")
    return token
