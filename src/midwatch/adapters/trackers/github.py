"""GitHub Issues. The token needs *Issues: read and write* on the one repository (fine-grained), or ``repo`` (classic).

Format: docs.github.com/rest/issues. The mark of an item stands in the issue's body; GitHub's search lags behind, so the
newest issues with the label ``midwatch`` are listed instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from midwatch.adapters.trackers.common import LABEL, LOOKED_AT, Requests, listed, mark, marked
from midwatch.model.items import Filed, Issue

API: Final = "https://api.github.com"


class GitHubTracker:
    """``repository`` is ``owner/name``; ``people`` says which owner of ours is which login there."""

    def __init__(
        self,
        name: str,
        repository: str,
        token: Callable[[], str],
        *,
        people: Mapping[str, str] | None = None,
        labels: tuple[str, ...] = (),
        api_url: str = API,
        timeout_seconds: float = 15.0,
    ) -> None:
        self._name, self._token, self._people, self._labels = name, token, dict(people or {}), labels
        self._issues = f"/repos/{repository}/issues"
        self._requests = Requests("GitHub", api_url, timeout_seconds, ("message", "errors"))

    @property
    def name(self) -> str:
        return self._name

    async def file(self, issue: Issue) -> Filed:
        newest = await self._ask("GET", f"{self._issues}?labels={LABEL}&state=all&per_page={LOOKED_AT}")
        for one in listed(newest):
            if mark(issue.key) in str(one.get("body") or ""):
                return _filed(one)
        assignee = self._people.get(issue.owner)
        made = await self._ask(
            "POST",
            self._issues,
            {
                "title": issue.title[:256],
                "body": marked(issue.body, issue.key),
                "labels": [LABEL, *self._labels],
                **({"assignees": [assignee]} if assignee else {}),
            },
        )
        return _filed(made)

    async def say(self, ref: str, key: str, text: str) -> None:
        comments = f"{self._issues}/{ref}/comments"
        said = await self._ask("GET", f"{comments}?per_page={LOOKED_AT}")
        if not any(mark(key) in str(one.get("body") or "") for one in listed(said)):
            await self._ask("POST", comments, {"body": marked(text, key)})

    async def closed(self, ref: str) -> str:
        one = await self._ask("GET", f"{self._issues}/{ref}")
        if not isinstance(one, dict) or one.get("state") != "closed":
            return ""
        return str(one.get("state_reason") or "closed").replace("_", " ")

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        token = await asyncio.to_thread(self._token)
        headers = {"Authorization": f"Bearer {token}", "X-GitHub-Api-Version": "2022-11-28"}
        return await self._requests.ask(method, path, headers, (token,), body)


def _filed(one: Any) -> Filed:
    read = one if isinstance(one, dict) else {}
    return Filed(str(read.get("number", "")), str(read.get("html_url", "")))
