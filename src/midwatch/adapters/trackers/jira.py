"""Jira issues, Cloud or Data Center, through REST API 2 (whose texts are plain).

Cloud: ``user`` is an e-mail address and ``token`` an API token of that account, with *Browse projects*, *Create issues* and
*Add comments*. Data Center: no user, and a personal access token. The mark of an item is a label of the issue, which JQL
finds exactly; Jira has no Markdown, so none is sent. Format: developer.atlassian.com/cloud/jira/platform/rest/v2.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from midwatch.adapters.trackers.common import LABEL, MAX_BODY, Requests, listed, mark
from midwatch.model.errors import TrackerError
from midwatch.model.items import Filed, Issue


class JiraTracker:
    """``project`` is its key; ``people`` says which owner of ours is which account id (Cloud) or user name there."""

    def __init__(
        self,
        name: str,
        site: str,
        project: str,
        token: Callable[[], str],
        *,
        user: Callable[[], str] | None = None,
        issue_type: str = "Task",
        people: Mapping[str, str] | None = None,
        labels: tuple[str, ...] = (),
        timeout_seconds: float = 15.0,
    ) -> None:
        self._name, self._site, self._project, self._type = name, site.rstrip("/"), project, issue_type
        self._token, self._user, self._people, self._labels = token, user, dict(people or {}), labels
        self._requests = Requests("Jira", f"{self._site}/rest/api/2", timeout_seconds, ("errorMessages", "errors"))

    @property
    def name(self) -> str:
        return self._name

    async def file(self, issue: Issue) -> Filed:
        jql = f'project = "{self._project}" AND labels = "{mark(issue.key)}"'
        search = "/search/jql" if self._user else "/search"
        found = await self._ask("GET", f"{search}?{urlencode({'jql': jql, 'maxResults': 1, 'fields': 'summary'})}")
        known = listed(found.get("issues") if isinstance(found, dict) else None)
        if known:
            return self._filed(known[0])
        assignee = self._people.get(issue.owner, "")
        fields: dict[str, Any] = {
            "project": {"key": self._project},
            "issuetype": {"name": self._type},
            "summary": " ".join(issue.title.split())[:255],
            "description": issue.body[:MAX_BODY],
            "labels": [LABEL, mark(issue.key), *self._labels],
            "duedate": issue.due,
        }
        if assignee:
            fields["assignee"] = {"accountId" if self._user else "name": assignee}
        return self._filed(await self._ask("POST", "/issue", {"fields": fields}))

    async def say(self, ref: str, key: str, text: str) -> None:
        comments = f"/issue/{quote(ref, safe='')}/comment"
        said = await self._ask("GET", f"{comments}?maxResults=100&orderBy=-created")
        bodies = listed(said.get("comments") if isinstance(said, dict) else None)
        if not any(mark(key) in str(one.get("body") or "") for one in bodies):
            await self._ask("POST", comments, {"body": f"{text[:MAX_BODY].rstrip()}\n\n{mark(key)}"})

    async def closed(self, ref: str) -> str:
        one = await self._ask("GET", f"/issue/{quote(ref, safe='')}?fields=status,resolution")
        fields = one.get("fields") if isinstance(one, dict) else None
        status = fields.get("status") if isinstance(fields, dict) else None
        category = status.get("statusCategory") if isinstance(status, dict) else None
        if not isinstance(status, dict) or not isinstance(category, dict) or category.get("key") != "done":
            return ""
        return str(status.get("name") or "done").lower()

    def _filed(self, one: Any) -> Filed:
        key = str(one.get("key", "")) if isinstance(one, dict) else ""
        if not key:
            raise TrackerError("Jira made an issue and does not say which", retry_after_seconds=60.0)
        return Filed(key, f"{self._site}/browse/{key}")

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        token = await asyncio.to_thread(self._token)
        user = await asyncio.to_thread(self._user) if self._user else ""
        basic = base64.b64encode(f"{user}:{token}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}" if user else f"Bearer {token}"}
        return await self._requests.ask(method, path, headers, (token, basic), body)
