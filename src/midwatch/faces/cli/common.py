"""What every command shares: the folder, JSON, exit codes, friendly errors, the running watch's API.

Exit codes: 0 fine; 1 the answer is bad (a problem was found, a check failed); 2 the command was not understood or a file
is wrong; 3 the watch is not running or cannot be reached; 4 something else of midwatch failed (journal, store); 130
interrupted.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from midwatch.model.errors import ConfigError, IngestError, MidwatchError, Unreachable, UsageError
from midwatch.shell.config import FOLDER_VARIABLE, TOKEN_VARIABLE, default_folder, folder_token
from midwatch.shell.folder import read_running

OK, BAD, USAGE, UNREACHABLE, FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder", help=f"The watch's folder. Default: ${FOLDER_VARIABLE}, else ./.midwatch.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]
By = Annotated[str, typer.Option("--by", help="Who says so, for the journal. Default: your user name.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def folder_of(given: Path | None) -> Path:
    return given if given is not None else default_folder()


class OneLine(logging.Formatter):
    """A line of the log may quote what strangers sent: it begins no further line, and does not speak to the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in super().formatMessage(record))


def log_to_stderr(level: int = logging.WARNING) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def print_json(value: Any) -> None:
    """One JSON document on standard output, whatever the terminal."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


@contextmanager
def friendly(as_json: bool = False) -> Iterator[None]:
    """Our errors become a sentence, a hint and an exit code; never a traceback."""
    try:
        yield
    except MidwatchError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        err.print("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None


def fail(error: MidwatchError, as_json: bool = False) -> NoReturn:
    if as_json:
        print_json({"error": str(error), "hint": error.hint})
    explain(error)
    raise typer.Exit(code_of(error))


def explain(error: MidwatchError) -> None:
    """What happened and what to do, on standard error."""
    line = Text("error: ", style="bold red")
    line.append(str(error), style="default")
    err.print(line, soft_wrap=True)
    if error.hint:
        err.print(Text(f"  hint: {error.hint}", style="dim"), soft_wrap=True)


def code_of(error: MidwatchError) -> int:
    if isinstance(error, Unreachable):
        return UNREACHABLE
    return USAGE if isinstance(error, UsageError | ConfigError | IngestError) else FAILED


class Running:
    """The API of the watch that runs on ``folder``. Raises Unreachable when there is none."""

    def __init__(self, folder: Path, patience_seconds: float = 10.0) -> None:
        self._patience_seconds = patience_seconds
        told = read_running(folder)
        if told is None or not told.get("api"):
            raise Unreachable(f"no watch runs on {folder}", hint=f"start it: midwatch up --folder {folder}")
        self.api = str(told["api"])
        self._verify = _only(str(told["certificate"])) if told.get("certificate") else True
        self._token = os.environ.get(TOKEN_VARIABLE) or folder_token(folder, create=False)
        if not self._token:
            raise Unreachable(
                f"the token in {folder} cannot be read",
                hint=f"run this as the user who started midwatch up, or set {TOKEN_VARIABLE} to a token of your own",
            )

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        import httpx

        try:
            # The environment's proxies are not asked: this is loopback, and the token stays here.
            with httpx.Client(trust_env=False, timeout=self._patience_seconds, verify=self._verify) as client:
                answer = client.request(
                    method, self.api + path, json=body, headers={"Authorization": f"Bearer {self._token}"}
                )
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(
                f"the watch at {self.api} does not answer ({type(error).__name__})",
                hint="is `midwatch up` still running?",
            ) from error
        if answer.is_success:
            return said
        why = said.get("error") or said.get("detail") if isinstance(said, dict) else None
        hint = str(said.get("hint", "")) if isinstance(said, dict) else ""
        kind = UsageError if answer.status_code in (400, 404, 422) else MidwatchError
        raise kind(str(why or f"the watch answered {answer.status_code}"), hint=hint)


def _only(certificate: str) -> ssl.SSLContext:
    """Trusts the watch's own certificate and no other: it need not name 127.0.0.1, nor be signed by anybody known."""
    try:
        context = ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(
            f"the watch's certificate {certificate} cannot be read", hint="may this user read it?"
        ) from error
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def me(given: str) -> str:
    if given:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def clock_words(at: float | None, now: float | None = None) -> str:
    """Local time of day; with the date when it was not today. "-" for none."""
    if not at:
        return "-"
    then, today = time.localtime(at), time.localtime(now if now is not None else time.time())
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)


def length_words(seconds: float) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


SEVERITY_STYLE = {1: "bold white on red", 2: "bold red", 3: "yellow", 4: "cyan"}


def severity_text(severity: int) -> Text:
    return Text(f"SEV{severity}", style=SEVERITY_STYLE.get(severity, ""))
