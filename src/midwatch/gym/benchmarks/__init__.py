"""Public incidents with known answers, scored by one command each: ``midwatch gym bench NAME --data DIR``.

A benchmark is a module of this package with ``bench(data, *, progress) -> Result``. It reshapes the archive into what the
engine takes in production, asks the engine, and compares: nothing in it may know a name, a frequency or a label that
production would not have. It is imported only when asked for. Optional, in the same module: ``compare(data, result, *,
progress) -> dict`` runs peers that are installed (for ``--peers``), and ``section(result) -> str`` writes the benchmark's
part of the results page in Markdown, without its heading.
"""

from __future__ import annotations

from typing import Final

# name: what one case is. The order is the order on the results page.
BENCHMARKS: Final[dict[str, str]] = {
    "petshop": "an incident of a microservice shop on a cloud, at five-minute steps",
    "nezha": "an injected fault with minute files of traces, logs and pod metrics",
    "tvdiag": "alerts extracted from metrics, traces and logs, and who was at fault",
    "nab": "one series with labelled anomalies",
    "loghub": "a template that people found in log lines of one system",
}
