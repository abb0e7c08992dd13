"""``trackers:`` of settings.yaml: where action items are filed. docs/items.md says how each is set up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from midwatch.shell.channel_settings import Address, Name
from midwatch.shell.setting_kinds import Part, Secret

Timeout = Annotated[float, Field(gt=0, le=60)]


class _Tracker(Part):
    """``owners``: only items of these; of several trackers the first that fits takes an item. ``people`` says which owner of
    ours is whom there."""

    token: Secret = Field(min_length=1)
    owners: tuple[str, ...] = ()
    people: dict[str, str] = Field(default_factory=dict)
    labels: tuple[Annotated[str, StringConstraints(pattern=r"^[^\s,]+$", max_length=50)], ...] = ()
    timeout_seconds: Timeout = 15.0


class GitHubSettings(_Tracker):
    type: Literal["github"]
    repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", max_length=200)]
    api_url: Address = "https://api.github.com"


class GitLabSettings(_Tracker):
    type: Literal["gitlab"]
    project: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]+$", max_length=255)]
    api_url: Address = "https://gitlab.com/api/v4"


class JiraSettings(_Tracker):
    """With ``user`` (a reference to an e-mail address) it is Cloud, without a Data Center."""

    type: Literal["jira"]
    site: Address
    project: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,20}$")]
    user: Secret = ""
    issue_type: Name = "Task"


TrackerSettings = Annotated[GitHubSettings | GitLabSettings | JiraSettings, Field(discriminator="type")]
