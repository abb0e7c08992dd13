"""GitHub Issues, GitLab issues and Jira as their REST documentation has them (docs.github.com/rest/issues,
docs.gitlab.com/api/issues, developer.atlassian.com/cloud/jira/platform/rest/v2): as much as filing, finding, commenting and
looking takes, required fields and bounds included. Not played: permissions, webhooks, pages past the first hundred.
"""

from __future__ import annotations

import re
from typing import Any

from midwatch.adapters.fakes.server import Answer, Asked, FakeApi


class FakeTracker(FakeApi):
    """``issues`` by number, from 1, in the form that the API answers with; ``comments`` by number."""

    def __init__(self, token: str = "tracker-token") -> None:
        super().__init__()
        self.token = token
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}

    def _next(self) -> int:
        return len(self.issues) + 1

    def _comment(self, number: int, asked: Asked) -> Answer:
        if number not in self.issues:
            return Answer(404, {"message": "Not Found"})
        if asked.method == "GET":
            return Answer(200, self.comments.get(number, []))
        if not (asked.read or {}).get("body"):
            return Answer(422, {"message": "Validation Failed", "errors": [{"field": "body", "code": "missing_field"}]})
        self.comments.setdefault(number, []).append({"id": 1, "body": asked.read["body"]})
        return Answer(201, self.comments[number][-1])


class FakeGitHub(FakeTracker):
    repository = "shop/ops"

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        match = re.fullmatch(rf"/repos/{self.repository}/issues(?:/(\d+)(/comments)?)?", asked.path)
        if match is None:
            return Answer(404, {"message": "Not Found"})
        if match[2]:
            return self._comment(int(match[1]), asked)
        if match[1]:
            return Answer(200, self.issues[int(match[1])]) if int(match[1]) in self.issues else Answer(404)
        if asked.method == "GET":
            wanted = asked.query.get("labels", "")
            found = [one for one in self.issues.values() if wanted in [label["name"] for label in one["labels"]]]
            return Answer(200, found[::-1])
        body = asked.read if isinstance(asked.read, dict) else {}
        if not body.get("title") or len(body["title"]) > 256 or len(body.get("body", "")) > 65_536:
            return Answer(422, {"message": "Validation Failed", "errors": [{"resource": "Issue", "field": "title"}]})
        number = self._next()
        self.issues[number] = {
            "number": number,
            "state": "open",
            "state_reason": None,
            "title": body["title"],
            "body": body.get("body"),
            "labels": [{"name": name} for name in body.get("labels", [])],
            "assignees": [{"login": login} for login in body.get("assignees", [])],
            "html_url": f"https://github.com/{self.repository}/issues/{number}",
        }
        return Answer(201, self.issues[number])

    def close(self, number: int) -> None:
        self.issues[number] |= {"state": "closed", "state_reason": "completed"}


class FakeGitLab(FakeTracker):
    project = "shop%2Fops"

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("private-token") != self.token:
            return Answer(401, {"message": "401 Unauthorized"})
        match = re.fullmatch(rf"/projects/{self.project}/issues(?:/(\d+)(/notes)?)?", asked.path)
        if match is None:
            return Answer(404, {"message": "404 Project Not Found"})
        if match[2]:
            return self._comment(int(match[1]), asked)
        if match[1]:
            return Answer(200, self.issues[int(match[1])]) if int(match[1]) in self.issues else Answer(404)
        if asked.method == "GET":
            wanted = asked.query.get("labels", "")
            return Answer(200, [one for one in self.issues.values() if wanted in one["labels"]][::-1])
        body = asked.read if isinstance(asked.read, dict) else {}
        if not body.get("title") or len(body["title"]) > 255:
            return Answer(400, {"message": {"title": ["is too long (maximum is 255 characters)"]}})
        number = self._next()
        self.issues[number] = {
            "iid": number,
            "state": "opened",
            "title": body["title"],
            "description": body.get("description"),
            "labels": body.get("labels", "").split(","),
            "due_date": body.get("due_date"),
            "assignees": [{"id": one} for one in body.get("assignee_ids", [])],
            "web_url": f"https://gitlab.com/shop/ops/-/issues/{number}",
        }
        return Answer(201, self.issues[number])

    def close(self, number: int) -> None:
        self.issues[number]["state"] = "closed"


class FakeJira(FakeTracker):
    """``cloud`` tells which search it has: Cloud's ``/search/jql``, or ``/search`` of a Data Center."""

    def __init__(self, token: str = "tracker-token", cloud: bool = True) -> None:
        super().__init__(token)
        self.cloud = cloud

    def answer(self, asked: Asked) -> Answer:
        scheme = asked.headers.get("authorization", "").partition(" ")[0]
        if scheme != ("Basic" if self.cloud else "Bearer"):
            return Answer(401, {"errorMessages": ["You are not authenticated."], "errors": {}})
        path = asked.path.removeprefix("/rest/api/2")
        if path == ("/search/jql" if self.cloud else "/search"):
            label = re.search(r'labels = "(\w+)"', asked.query.get("jql", ""))
            found = [one for one in self.issues.values() if label and label[1] in one["fields"]["labels"]]
            return Answer(200, {"issues": found})
        if path == "/issue" and asked.method == "POST":
            return self._make(asked.read if isinstance(asked.read, dict) else {})
        match = re.fullmatch(r"/issue/OPS-(\d+)(/comment)?", path)
        if match is None or int(match[1]) not in self.issues:
            return Answer(404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."]})
        if match[2]:
            answer = self._comment(int(match[1]), asked)
            return Answer(answer.status, {"comments": answer.body}) if asked.method == "GET" else answer
        return Answer(200, self.issues[int(match[1])])

    def _make(self, body: dict[str, Any]) -> Answer:
        fields = body.get("fields", {})
        errors = {name: f"{name} is required." for name in ("project", "issuetype", "summary") if not fields.get(name)}
        if len(fields.get("summary", "")) > 255 or "\n" in fields.get("summary", ""):
            errors["summary"] = "The summary is invalid because it contains newline characters or is too long."
        if any(" " in label for label in fields.get("labels", [])):
            errors["labels"] = "The label contains spaces which is invalid."
        if errors:
            return Answer(400, {"errorMessages": [], "errors": errors})
        number = self._next()
        open_status = {"name": "To Do", "statusCategory": {"key": "new"}}
        self.issues[number] = {"key": f"OPS-{number}", "fields": {**fields, "status": open_status}}
        return Answer(201, {"id": str(10_000 + number), "key": f"OPS-{number}"})

    def close(self, number: int) -> None:
        self.issues[number]["fields"]["status"] = {"name": "Done", "statusCategory": {"key": "done"}}
