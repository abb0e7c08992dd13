"""What ``midwatch gym bench`` calls."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from midwatch.gym.benchmarks import BENCHMARKS
from midwatch.gym.benchmarks.contract import Result, to_json
from midwatch.model.errors import UsageError


def bench(
    name: str, data: Path, *, peers: bool = False, out: Path | None = None, as_json: bool = False
) -> dict[str, Any]:
    """Run the benchmark ``name`` over the archive's folder ``data`` and answer with the contract's JSON. With ``out`` it is
    kept there as ``bench-NAME.json`` and the page ``diagnosis.md`` is made anew from all such files. Raises UsageError for
    an unknown benchmark, and for a folder that is not laid out as its archive is."""
    module = load(name)
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder", hint="--data DIR is where the archive was unpacked")
    console = Console(stderr=True, highlight=False)

    def progress(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    result: Result = module.bench(data, progress=progress)
    if peers:
        compare = getattr(module, "compare", None)
        if compare is None:
            raise UsageError(f"{name} is compared with no peers here")
        result = msgspec.structs.replace(result, peers=compare(data, result, progress=progress))
    plain = to_json(result)
    if out is not None:
        from midwatch.gym.benchmarks.page import write

        progress(f"the page: {write(out, result)}")
    if not as_json:
        Console(highlight=False).print(json.dumps(plain["scores"], indent=2, ensure_ascii=False), markup=False)
    return plain


def load(name: str) -> Any:
    """The module of a benchmark. Raises UsageError for one that there is not."""
    if name not in BENCHMARKS:
        raise UsageError(f"there is no benchmark {name!r}", hint=f"one of {', '.join(BENCHMARKS)}")
    return importlib.import_module(f"midwatch.gym.benchmarks.{name}")
