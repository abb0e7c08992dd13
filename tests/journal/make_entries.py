"""Writes the kept entries of the current format: run once per format, never to mend a failing test."""

from __future__ import annotations

import json
from pathlib import Path

from tests.journal.samples import ONE_OF_EACH, plain

from midwatch.shell.journal import codec

kept = []
for event in ONE_OF_EACH:
    one = codec.encode(event)
    stored = {"kind": one.kind, "version": one.version, "facts": one.facts.hex(), "texts": one.texts.hex()}
    kept.append({**stored, "meaning": plain(event)})
Path(__file__).with_name("entries_v1.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
