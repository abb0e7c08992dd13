"""Which systems may send alerts: whose key is whose, and how much each may send. A key is compared in constant time and is
never written anywhere."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from midwatch.adapters.alerts.common import Rules
from midwatch.adapters.alerts.usual import quiet
from midwatch.model.errors import ConfigError
from midwatch.shell.config import IntegrationSettings, Settings, resolve

MIN_CHARS: Final = 16


@dataclass
class Allowance:
    """``per_minute`` with a minute's worth at once: a bucket that fills by itself."""

    per_minute: int
    left: float = 0.0
    at: float = field(default=-1e18)

    def take(self, count: int, now: float) -> bool:
        """Whether ``count`` more may pass at ``now`` (seconds of a clock that never goes back)."""
        self.left = min(float(self.per_minute), self.left + (now - self.at) * self.per_minute / 60.0)
        self.at = now
        if self.left < min(count, self.per_minute):
            return False
        self.left -= count
        return True


@dataclass(frozen=True)
class Integration:
    name: str
    kind: str
    rules: Rules
    secret: str = field(repr=False)
    allowance: Allowance = field(compare=False)


class Integrations:
    """Those of the settings, their keys looked up. ``others`` are secrets that no key may be equal to.

    Raises ConfigError for a key that is missing, short, or another's as well.
    """

    def __init__(self, settings: Settings, others: Iterable[str] = ()) -> None:
        taken = {secret: "a person or the folder" for secret in others if secret}
        self._found: list[Integration] = []
        for name, given in settings.integrations.items():
            secret = resolve(given.key).strip()
            if len(secret) < MIN_CHARS:
                raise ConfigError(
                    f"the key of {name} is shorter than {MIN_CHARS} characters", key=f"integrations.{name}.key"
                )
            if secret in taken:
                raise ConfigError(f"{name} and {taken[secret]} have the same key", key=f"integrations.{name}.key")
            taken[secret] = name
            self._found.append(_integration(name, given, secret))

    def holder(self, kind: str, given: str) -> Integration | None:
        """The integration of that wire format whose key was shown."""
        said = given.encode()
        found = [one for one in self._found if hmac.compare_digest(said, one.secret.encode()) and one.kind == kind]
        return found[0] if found else None


def quiet_words(settings: Settings, page_severity: int) -> dict[str, tuple[str, str]]:
    """Integrations (by name) whose senders have usual words that page nobody: which words, and what to write about them.
    With ``page_severity`` 0 no severity pages, and that is meant so."""
    told: dict[str, tuple[str, str]] = {}
    for name, given in settings.integrations.items() if page_severity else ():
        if not (found := quiet(given.kind, _severities(given), page_severity)):
            continue
        words = ", ".join(f"{word} is SEV{rating}" for word, rating in found.items())
        pages = ", ".join(f"{word}: {page_severity}" for word in found)
        meant = ", ".join(f"{word}: {rating}" for word, rating in found.items())
        told[name] = (
            f"what {name} calls {' or '.join(found)} wakes nobody: {words}, and page_severity is {page_severity}",
            f"integrations.{name}.severities: {{{pages}}} pages; {{{meant}}} says that it is meant so",
        )
    return told


def _severities(given: IntegrationSettings) -> dict[str, int]:
    return {word.lower(): severity for word, severity in given.severities.items()}


def _integration(name: str, given: IntegrationSettings, secret: str) -> Integration:
    rules = Rules(name, _severities(given), given.service, given.fields)
    return Integration(name, given.kind, rules, secret, Allowance(given.per_minute))
