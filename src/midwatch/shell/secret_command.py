"""Secrets from a program, such as the command line of a vault: started without a shell, its output is the secret."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from typing import Final

from midwatch.model.errors import ConfigError

TIMEOUT_SECONDS: Final = 5.0
KEEP_SECONDS: Final = 60.0
"""What was looked up is kept so long: a page must not wait for a vault each time."""
MAX_BYTES: Final = 65_536

_lock = threading.Lock()
_kept: dict[str, tuple[float, str]] = {}


def from_command(command: str) -> str:
    """The program's standard output, without blanks around it. Raises ConfigError, which shows neither output."""
    with _lock:
        kept = _kept.get(command)
        if kept is not None and time.monotonic() - kept[0] < KEEP_SECONDS:
            return kept[1]
        secret = _run(command)
        _kept[command] = (time.monotonic(), secret)
        return secret


def _run(command: str) -> str:
    try:
        words = shlex.split(command)
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"the secrets command {_name(command)} did not end within {TIMEOUT_SECONDS:g} s") from error
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"the secrets command {_name(command)} cannot be run: {type(error).__name__}") from error
    if done.returncode:
        raise ConfigError(
            f"the secrets command {_name(command)} ended with code {done.returncode}",
            hint="run it by hand as this user",
        )
    try:
        secret = done.stdout[:MAX_BYTES].decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the secrets command {_name(command)} gave no text") from error
    if not secret:
        raise ConfigError(f"the secrets command {_name(command)} gave nothing")
    return secret


def _name(command: str) -> str:
    """The program alone: its arguments may name what should not be told."""
    return command.split()[0] if command.split() else "(empty)"
