"""What settings are made of: parts that take no unknown key, secrets that are references, names of people."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

REFERENCES = ("env", "file", "command")
NOBODY = ("file", "midwatch", "someone")
"""Names that mean something else in the journal."""


def is_reference(value: str) -> bool:
    return value.partition(":")[0] in REFERENCES and ":" in value


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _written(value: object) -> object:
    """``{env: NAME}``, ``{file: PATH}`` and ``{command: PROGRAM}`` as the short text that is kept of them."""
    if isinstance(value, dict) and len(value) == 1:
        (kind, where), *_ = value.items()
        if kind in REFERENCES and isinstance(where, str):
            return f"{kind}:{where}"
    return value


def _reference(value: str) -> str:
    if value and not is_reference(value):
        raise ValueError("write a reference, env:NAME, file:/path or command:PROGRAM, never the secret itself")
    return value


def _somebody(value: str) -> str:
    if value in NOBODY:
        raise ValueError("means something else in the journal: choose another name")
    return value


Text = Annotated[str, BeforeValidator(_written)]
"""Text, or a reference to it."""
Secret = Annotated[str, BeforeValidator(_written), AfterValidator(_reference)]
"""A reference, and nothing else."""
Person = Annotated[str, StringConstraints(pattern=r"^[^\W_](?:[\w .@-]{0,38}\w)?$"), AfterValidator(_somebody)]
"""A name as the journal shows it: letters, digits, and `` .@_-`` within."""
Sender = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,38}$")]
"""The name of a system that sends alerts: small letters, digits, ``_`` and ``-``."""
