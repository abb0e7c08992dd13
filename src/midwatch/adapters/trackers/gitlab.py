"""GitLab issues. The token (of a project, group or person) needs the scope ``api`` and the role *Planner* or *Reporter*.

Format: docs.gitlab.com/api/issues. The due date is the issue's own; the mark of an item stands in its description.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from midwatch.adapters.trackers.common import LABEL, LOOKED_AT, Requests, listed, mark, marked
from midwatch.model.items import Filed, Issue

API: Final = "https://gitlab.com/api/v4"


class GitLabTracker:
    """``project`` is its path or number; ``people`` says which owner of ours is which user number there."""

    def __init__(
        self,
        name: str,
        project: str,
        token: Callable[[], str],
        *,
        people: Mapping[str, str] | None = None,
        labels: tuple[str, ...] = (),
        api_url: str = API,
        timeout_seconds: float = 15.0,
    ) -> None:
        self._name, self._token, self._people, self._labels = name, token, dict(people or {}), labels
        self._issues = f"/projects/{quote(project, safe='')}/issues"
        self._requests = Requests("GitLab", api_url, timeout_seconds, ("message", "error"))

    @property
    def name(self) -> str:
        return self._name

    async def file(self, issue: Issue) -> Filed:
        newest = await self._ask("GET", f"{self._issues}?labels={LABEL}&per_page={LOOKED_AT}&order_by=created_at")
        for one in listed(newest):
            if mark(issue.key) in str(one.get("description") or ""):
                return _filed(one)
        assignee = self._people.get(issue.owner, "")
        made = await self._ask(
            "POST",
            self._issues,
            {
                "title": issue.title[:255],
                "description": marked(issue.body, issue.key),
                "labels": ",".join([LABEL, *self._labels]),
                "due_date": issue.due,
                **({"assignee_ids": [int(assignee)]} if assignee.isdigit() else {}),
            },
        )
        return _filed(made)

    async def say(self, ref: str, key: str, text: str) -> None:
        notes = f"{self._issues}/{ref}/notes"
        said = await self._ask("GET", f"{notes}?per_page={LOOKED_AT}&sort=desc")
        if not any(mark(key) in str(one.get("body") or "") for one in listed(said)):
            await self._ask("POST", notes, {"body": marked(text, key)})

    async def closed(self, ref: str) -> str:
        one = await self._ask("GET", f"{self._issues}/{ref}")
        return "closed" if isinstance(one, dict) and one.get("state") == "closed" else ""

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        token = await asyncio.to_thread(self._token)
        return await self._requests.ask(method, path, {"PRIVATE-TOKEN": token}, (token,), body)


def _filed(one: Any) -> Filed:
    read = one if isinstance(one, dict) else {}
    return Filed(str(read.get("iid", "")), str(read.get("web_url", "")))
