"""What the trackers share: a marker by which an issue or a comment is found again, and requests that say why they failed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import httpx

from midwatch.adapters.channels.http import post
from midwatch.model.errors import ChannelError, TrackerError

LABEL: Final = "midwatch"
MAX_BODY: Final = 60_000
LOOKED_AT: Final = 100
"""A crash between an issue and its entry in the journal is settled within minutes: so many of the newest are looked at."""


def mark(key: str) -> str:
    """Sixteen letters and digits that stand for the key, and for nothing else."""
    return f"mw{hashlib.sha256(key.encode()).hexdigest()[:14]}"


def marked(text: str, key: str) -> str:
    """``text`` with its mark at the end, small."""
    return f"{text[:MAX_BODY].rstrip()}\n\n<sub>{mark(key)}</sub>"


class Requests:
    """JSON requests under one base address. ``why_keys`` are the fields of an answer that say what was wrong."""

    def __init__(self, whom: str, base: str, timeout_seconds: float, why_keys: tuple[str, ...]) -> None:
        self._whom, self._base, self._timeout, self._why_keys = whom, base.rstrip("/"), timeout_seconds, why_keys

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], secrets: tuple[str, ...], body: Any = None
    ) -> Any:
        """The answer's JSON. Raises TrackerError."""
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        sent = {"Accept": "application/json", **({"Content-Type": "application/json"} if content else {}), **headers}
        try:
            answer = await post(
                f"{self._base}{path}",
                content,
                sent,
                whom=self._whom,
                method=method,
                timeout_seconds=self._timeout,
                secrets=secrets,
                why=self._why,
            )
            return answer.json() if answer.content else None
        except ChannelError as error:
            raise TrackerError(str(error), retry_after_seconds=error.retry_after_seconds, hint=error.hint) from error
        except ValueError as error:
            raise TrackerError(f"{self._whom} answered with something that is no JSON") from error

    def _why(self, answer: httpx.Response) -> str:
        try:
            read = answer.json()
        except ValueError:
            return ""
        found = [read.get(key) for key in self._why_keys] if isinstance(read, dict) else []
        return "; ".join(
            json.dumps(one, ensure_ascii=False) if not isinstance(one, str) else one for one in found if one
        )


def listed(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
