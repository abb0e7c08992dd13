"""Alert policies by name or from a file, for back-tests and the alerts' table.

``guarded`` (what midwatch does), ``textbook`` (the same tiers without guards), ``averaged`` (means of 5-minute ratios, as
the usual generator records them), ``file`` (what the promise says of its tiers, else ``guarded``); or the path of a policy
file (``midwatch.yaml``) or of Sloth's ``AlertWindows``. ``NAME:fast,slow`` keeps only these tiers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from midwatch.core.slo.tiers import AVERAGED, GUARDED, TEXTBOOK, AlertPolicy, chosen, in_force
from midwatch.model.errors import UsageError
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo

NAMED: Final = {"guarded": GUARDED, "textbook": TEXTBOOK, "averaged": AVERAGED}
ForSlo = Callable[[Slo], AlertPolicy]


def read_policy(text: str) -> ForSlo:
    """What ``text`` names, for any promise. Raises UsageError and ConfigError."""
    name, _, only = text.partition(":") if not Path(text).exists() else (text, "", "")
    if name in NAMED:
        found: ForSlo = lambda _: NAMED[name]  # noqa: E731
    elif name == "file":
        found = lambda slo: in_force(slo, Policy(), "file")  # noqa: E731
    elif Path(name).exists():
        found = _of_file(Path(name))
    else:
        hint = f"one of: {', '.join(NAMED)}, file; or the path of a policy file or of Sloth's AlertWindows"
        raise UsageError(f"there is no alert policy {name!r}", hint=hint)
    if not only:
        return found
    wanted = tuple(tier.strip() for tier in only.split(","))

    def some(slo: Slo) -> AlertPolicy:
        policy = found(slo)
        try:
            return replace(policy, name=text, tiers=chosen(policy.tiers, only=wanted))
        except ValueError as error:
            raise UsageError(str(error)) from None

    return some


def _of_file(path: Path) -> ForSlo:
    from midwatch.shell.files import load
    from midwatch.shell.files.specs import read_specs

    windows = dict(read_specs([path]).windows)
    if not windows:
        policy, _ = load([path])
        return lambda slo: in_force(slo, policy, path.name)

    def of_windows(slo: Slo) -> AlertPolicy:
        tiers = windows.get(slo.period_seconds)
        if tiers is None:
            have = ", ".join(f"{period / 86400:g}d" for period in sorted(windows))
            raise UsageError(
                f"{path.name} has windows for {have}, and {slo.name} runs over {slo.period_seconds / 86400:g}d"
            )
        return AlertPolicy(path.name, tiers, scaled=False)

    return of_windows
