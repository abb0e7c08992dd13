"""The watch's folder: making it, saying who runs in it, and reading the policy that lies beside it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from midwatch.model.actions import VerbSpec
from midwatch.model.errors import ConfigError
from midwatch.model.people import People
from midwatch.model.policy import Policy
from midwatch.shell.config import Settings

if TYPE_CHECKING:
    from midwatch.shell.files import Loaded

log = logging.getLogger("midwatch.watch")


def open_folder(settings: Settings) -> bool:
    """Make sure that the folder is there and can be written. True when an earlier process did not end in order.

    Raises ConfigError with what to do about it.
    """
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise ConfigError("is a file, not a folder", path=str(folder), hint="choose another with --folder") from error
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}",
            path=str(folder),
            hint="make it writable for this user, or choose another folder with --folder or MIDWATCH_HOME",
        ) from error
    return settings.running_file.exists()


def write_running(settings: Settings, otlp_port: int, console_port: int) -> None:
    """Say where this process can be reached: what ``midwatch ack`` and the like read."""
    host = f"[{settings.console_host}]" if ":" in settings.console_host else settings.console_host
    host = "127.0.0.1" if host == "0.0.0.0" else host  # where it is reached from this machine
    told = {
        "pid": os.getpid(),
        "started_at": time.time(),
        "api": f"{settings.console_scheme}://{host}:{console_port}" if console_port else "",
        "certificate": str(settings.access.tls.certificate) if settings.access.tls else "",
        "otlp": f"http://{settings.otlp_host}:{otlp_port}",
    }
    fresh = settings.running_file.with_suffix(".new")
    fresh.write_text(json.dumps(told), "utf-8")
    fresh.replace(settings.running_file)


def read_running(folder: Path) -> dict[str, Any] | None:
    """What ``write_running`` told, when that process is still alive; else None."""
    try:
        told = json.loads((folder / "running.json").read_text("utf-8"))
        os.kill(int(told["pid"]), 0)
    except PermissionError:
        pass  # it lives, under another user
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, dict) else None


def remove_running(settings: Settings) -> None:
    """Only the process that wrote it takes it away."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        if int(json.loads(settings.running_file.read_text("utf-8"))["pid"]) == os.getpid():
            settings.running_file.unlink()


def load_policy(settings: Settings) -> tuple[Policy, tuple[str, ...]]:
    """The policy as the files say it, and the files that said it: those that the settings name, else what lies in the
    folder's ``policy/``. Raises ConfigError with path, line, key and hint."""
    from midwatch.shell import files

    return files.load(_policy_paths(settings))


def load_policy_that_can_be(settings: Settings) -> Loaded:
    """Like ``load_policy``, but a promise that cannot be honoured is left out, with its reason, and the rest goes on."""
    from midwatch.shell import files

    return files.load_what_can_be(_policy_paths(settings))


def policy_in_force(
    settings: Settings,
    given: Policy | None,
    verbs: Mapping[str, VerbSpec],
    channels: tuple[str, ...],
    trouble: Callable[[str, str], object],
    known: People | None = None,
    loaded: Loaded | None = None,
) -> tuple[Policy, tuple[str, ...]]:
    """The policy that a watch keeps, and the files that said it: ``given``, else what the files say, or said when they were
    ``loaded``. The settings' mode goes before the policy's, the hands' ``verbs`` are added, and who names no channel for
    paging gets all ``channels``.

    Promises that are left out are told to ``trouble``; so are people files that cannot be read, and then those whom the
    journal ``known`` before are kept: a slip of the pen leaves nobody unwoken. Raises ConfigError.
    """
    policy = given
    sources: tuple[str, ...] = ("given",)
    if policy is None:
        loaded = loaded or load_policy_that_can_be(settings)
        policy, sources = loaded.policy, loaded.sources
        for problem in loaded.problems:
            log.warning("a promise is left out: %s", problem)
        left_out = "; ".join(str(p) for p in loaded.problems[:3])
        more = f"; and {len(loaded.problems) - 3} more" if len(loaded.problems) > 3 else ""
        trouble("promises", left_out and f"left out: {left_out}{more}")
        wrong = loaded.people_problems[0] if loaded.people_problems else None
        trouble("people", f"the people as they were hold, because {wrong}" if wrong else "")
        if wrong is not None:
            if known is None or known == People():
                raise wrong.error()
            policy = replace(policy, people=known)
    policy = replace(
        policy,
        mode=policy.mode if settings.mode is None else settings.mode,
        verbs={**policy.verbs, **verbs},
        paging=policy.paging if policy.paging.channels else replace(policy.paging, channels=channels),
    )
    trouble("contacts", unknown_channels(policy.people, channels))
    room = policy.war_room.channel
    nowhere = f"war rooms are to be opened in the chat of {room!r}, which is no channel of the settings"
    trouble("war rooms", nowhere if room and room not in channels else "")
    return policy, sources


def unknown_channels(people: People, channels: Collection[str]) -> str:
    """Said at the start, not with the first page: which channels people are to be reached over that nobody set up. "" for
    none."""
    named = {contact.channel for person in people.people for contact in person.contacts}
    missing = ", ".join(sorted(named - set(channels)))
    return f"people are to be reached over channels that the settings do not have: {missing}" if missing else ""


def _policy_paths(settings: Settings) -> tuple[Path, ...]:
    beside = settings.folder / "policy"
    return (*(settings.policy or ((beside,) if beside.is_dir() else ())), *people_paths(settings))


def people_paths(settings: Settings) -> tuple[Path, ...]:
    """Where people files lie: what the settings name, else ``people/`` in the folder, where that is."""
    beside = settings.folder / "people"
    return settings.people or ((beside,) if beside.is_dir() else ())
