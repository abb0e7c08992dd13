"""What a lint rule reads and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct

from midwatch.core.slo.tiers import AlertPolicy
from midwatch.model.slo import Slo


class Facts(Struct, frozen=True):
    """What is known beside the promise itself; None: nobody looked.

    ``per_minute``: usual events per minute. ``buckets``: the ``le`` bounds that its histogram has, in its unit.
    ``retention_seconds``: how far back its source can be asked. ``matched``: series that each selector found
    (``data.selectors_of``). ``dependencies``: what it needs promises, name -> target (``needs.py``). ``impossible_steps``:
    steps with more good than total events.
    """

    per_minute: float | None = None
    buckets: tuple[float, ...] | None = None
    retention_seconds: float | None = None
    matched: dict[str, int] | None = None
    dependencies: dict[str, float] | None = None
    impossible_steps: int | None = None


class Remark(Struct, frozen=True):
    """``error``: it cannot work as written; ``warning``: it will, and not as meant; ``not checked``: a fact is missing."""

    rule: str
    level: Literal["error", "warning", "not checked"]
    message: str
    hint: str = ""


Rule = Callable[[Slo, AlertPolicy, Facts], Iterable[Remark]]


def not_checked(rule: str, missing: str) -> Remark:
    return Remark(rule, "not checked", f"not checked: {missing}")
