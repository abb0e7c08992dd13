"""What a log line says itself: how bad it is, where the record does not say, and its message, where it is structured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

SEVERITIES: Final = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "WARNING": 13, "ERROR": 17, "FATAL": 21}
BY_TEXT: Final = {
    **SEVERITIES, "INFORMATION": 9, "NOTICE": 9, "ERR": 17, "CRITICAL": 21, "PANIC": 21, "EMERGENCY": 21,
}  # fmt: skip
_KEYS: Final = ("level", "severity", "severity_text", "log.level", "loglevel", "lvl")
_MESSAGES: Final = ("message", "msg", "@message", "event", "log")
_ERRORS: Final = ("error", "err", "exception", "exc_info", "reason")
_NUMBERED: Final = {10: 1, 20: 5, 30: 9, 40: 13, 50: 17, 60: 21}  # bunyan and pino
_FIELD: Final = re.compile(r"""["']?\b(?:log\.?level|level|severity(?:_text)?|lvl)["']?\s*[:=]\s*["']?(\w+)""", re.I)
_WORD: Final = re.compile(
    r"(?<![\w./-])(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRITICAL|FATAL|PANIC)(?![\w./=-])"
)
_HEAD: Final = 400  # characters that are looked at


def severity_in(body: Any) -> int:
    """OpenTelemetry's number of the level that ``body`` (text, JSON or logfmt text, a map) states, 0 when it states none. In
    plain text only the words in capitals count, as a level is printed."""
    if isinstance(body, Mapping):
        return next((_number(body[key]) for key in _KEYS if key in body), 0)
    if not isinstance(body, str):
        return 0
    head = body[:_HEAD]
    field = _FIELD.search(head)
    if field is not None and (number := _number(field.group(1))):
        return number
    word = _WORD.search(head)  # a "level" may be one of isolation, or of water
    return BY_TEXT[word.group(1)] if word is not None else 0


def message_in(body: str) -> str:
    """The words of ``body``: of a JSON object its message and its error, since the field names are the same in every line;
    any other text as it is."""
    if not body.startswith("{"):
        return body
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    words = [str(fields[key]) for key in (*_MESSAGES, *_ERRORS) if fields.get(key)]
    return " ".join(dict.fromkeys(words)) or body


def _number(level: Any) -> int:
    text = str(level)
    return _NUMBERED.get(int(text), 0) if text.isdecimal() else BY_TEXT.get(text.upper(), 0)
