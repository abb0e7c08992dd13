"""Who a token belongs to. A named token (``tokens:`` in settings.yaml) is a person's own: the journal takes the name from
it. A shared one (the folder's) proves only that somebody may command; its holder says a name, and nobody can check it.

So an irreversible action, which needs two people, needs two different credentials: everybody who uses shared tokens
counts as one.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from midwatch.model.errors import ConfigError
from midwatch.shell.config import Settings, resolve

MIN_CHARS = 16


@dataclass(frozen=True)
class Tokens:
    """``named``: person or program -> secret; ``shared``: secrets that carry no name."""

    named: Mapping[str, str] = field(default_factory=dict)
    shared: tuple[str, ...] = ()

    def holder(self, given: str) -> str | None:
        """The name of the token that was shown, "" for a shared one, None when it is none of ours."""
        said = given.strip().encode()
        owners = [name for name, secret in self.named.items() if hmac.compare_digest(said, secret.encode())]
        known = any(hmac.compare_digest(said, secret.encode()) for secret in self.shared if secret)
        return owners[0] if owners else "" if known else None


def named_tokens(settings: Settings, others: Iterable[str] = ()) -> dict[str, str]:
    """Person or program -> secret, looked up. Raises ConfigError for one that is missing, short, or another's as
    well (``others``: the folder's): two names with one secret would be one person."""
    machines = settings.access.machines
    if both := settings.tokens.keys() & machines.keys():
        raise ConfigError(f"{min(both)} is a person and a machine", key="access.machines", hint="two names")
    references = {**settings.tokens, **{name: one.token for name, one in machines.items()}}
    found: dict[str, str] = {}
    taken = {secret: "the folder" for secret in others if secret}
    for name, reference in references.items():
        secret = resolve(reference).strip()
        if len(secret) < MIN_CHARS:
            raise ConfigError(f"the token of {name} is shorter than {MIN_CHARS} characters", key=f"tokens.{name}")
        if secret in taken:
            raise ConfigError(f"{name} and {taken[secret]} have the same token", key=f"tokens.{name}")
        taken[secret] = name
        found[name] = secret
    return found
