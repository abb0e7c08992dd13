"""How long rules take to write, and how that grows: ``python benchmarks/slo_rules.py [--json docs/results/slo_rules.json]``.

N promises with templates as teams write them (one in four a latency histogram, one in four grouped by tenant), from model
values to the text of a rule file, in our own form, in Sloth's and as resources: the best of three (once above a thousand).
``cpu_seconds`` is what the process itself used: on a machine that others share it is the figure to compare. promtool checks
the smallest of our own files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from shutil import which
from typing import Any

from midwatch.model.indicators import Alerting, EventRatio, Histogram
from midwatch.model.slo import Slo
from midwatch.shell.files.rules_out import write_rules

SIZES = (100, 1000, 10000)
FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("native", {}),
    ("sloth", {"compat": "sloth"}),
    ("native_crd", {"form": "crd"}),
)


def promise(number: int) -> Slo:
    job = f'job="service-{number}"'
    indicator: EventRatio | Histogram
    if number % 4 == 0:
        indicator = Histogram(f"http_request_duration_seconds_bucket{{{job}}}", 0.3)
    else:
        indicator = EventRatio(
            total=f"sum(rate(http_requests_total{{{job}}}[{{{{.window}}}}]))",
            bad=f'sum(rate(http_requests_total{{{job},code=~"5.."}}[{{{{.window}}}}]))',
        )
    return Slo(
        name=f"service-{number}-availability",
        entity=f"service:service-{number}",
        sli="source",
        target=0.999,
        service=f"service-{number}",
        indicator=indicator,
        group_by=("tenant",) if number % 4 == 1 else (),
        alerting=Alerting(f"Service{number}Fails", labels={"team": "shop"}),
        labels={"team": "shop", "tier": "2"},
    )


def measure(count: int) -> dict[str, Any]:
    slos = [promise(number) for number in range(count)]
    row: dict[str, Any] = {"slos": count, "load_1m": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    for name, options in FORMS:
        walls, cpus, text = [], [], ""
        for _ in range(3 if count <= 1000 else 1):
            begun, used = time.perf_counter(), time.process_time()
            text = write_rules(slos, **options)
            walls.append(time.perf_counter() - begun)
            cpus.append(time.process_time() - used)
        row[f"{name}_seconds"] = round(min(walls), 2)
        row[f"{name}_cpu_seconds"] = round(min(cpus), 2)
        row[f"{name}_mb"] = round(len(text) / 1e6, 2)
        if name == "native":
            row["native_rules"] = text.count("- record: ") + text.count("- alert: ")
            row["promtool"] = checked(text) if count == SIZES[0] else "not run"
    row["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return row


def checked(text: str) -> str:
    if which("promtool") is None:
        return "not there"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yml"
        file.write_text(text)
        said = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    return " ".join(said.stdout.split()[2:]) if said.returncode == 0 else f"refused: {said.stderr}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    given = parser.parse_args()
    rows = []
    for size in given.sizes:
        rows.append(measure(size))
        print(json.dumps(rows[-1]))
    if given.json:
        found = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
