"""What midwatch, OpenSLO's Go SDK and the older JSON Schema say of the specification's schema-test files.

    pip install jsonschema
    python benchmarks/openslo_verdicts.py [--archive ../shared/data/slo-conformance.tar.xz] [--out FILE.md]

midwatch and the schema are run; the SDK's verdicts are in ``tests/specs/sdk_verdicts.yaml``. Exits 1 when midwatch and the
SDK disagree.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import tarfile
import tempfile

import yaml

from midwatch.shell.files.specs import is_spec
from midwatch.shell.files.specs.openslo import well_formed
from midwatch.shell.files.yaml_lines import Problem, read_documents

ROOT = pathlib.Path(__file__).parents[1]
SDK = ROOT / "tests" / "specs" / "sdk_verdicts.yaml"
LENIENT = (
    ("`spec.budgetingMethod` left out", "required", "`Occurrences`"),
    ("`spec.timeWindow` left out", "one is required", "30 days, rolling"),
    ("`spec.indicator.metadata` left out", "required", "the SLO's own name stands for it"),
    ("`op: gt` or `gte` beside a ratio", "forbidden", "accepted: the specification's own example writes it"),
    ("a label that is a number or a boolean", "refused", "read as it was written"),
    ("`90s`, `1.5h` or a number of seconds as a duration", "refused", "accepted"),
)


class _Texts(yaml.SafeLoader):
    """Times stay text, as every OpenSLO tool reads them."""


_Texts.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def ours(path: pathlib.Path) -> list[Problem]:
    """What midwatch finds wrong with the form of a file."""
    documents, problems = read_documents(path)
    for document in documents:
        if is_spec(document.value) and isinstance(document.value, dict) and "apiVersion" in document.value:
            problems += well_formed(document)[1] if str(document.value["apiVersion"]).startswith("openslo") else []
        else:
            problems.append(document.problem((), "midwatch does not know what this is"))
    return problems


def schema_accepts(schemas: pathlib.Path, path: pathlib.Path) -> bool:
    """What the JSON Schema says."""
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    parts = [json.loads(file.read_text("utf-8")) for file in sorted(schemas.rglob("*.json"))]
    registry = Registry().with_resources([(part["$id"], Resource.from_contents(part)) for part in parts])
    whole = next(part for part in parts if part["$id"].endswith("/v1/openslo.schema.json"))
    return bool(Draft7Validator(whole, registry=registry).is_valid(yaml.load(path.read_text("utf-8"), _Texts)))  # noqa: S506


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--archive", type=pathlib.Path, default=ROOT.parent / "shared/data/slo-conformance.tar.xz")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/results/openslo-verdicts.md")
    args = parser.parse_args()
    sdk = yaml.safe_load(SDK.read_text("utf-8"))
    rows, different = [], []
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(args.archive) as archive:
            archive.extractall(folder, filter="data")
        tests = next(pathlib.Path(folder).rglob("schema-tests"))
        files = tests / "schema-test" / "spec-files"
        for path in sorted(files.rglob("*.yaml")):
            name = str(path.relative_to(files))
            found, schema = ours(path), schema_accepts(tests / "schemas" / "v1", path)
            rows.append((name, not found, not sdk[name], schema))
            if schema == bool(sdk[name]):
                first = f"`{found[0].key}`: {found[0].message} (`{found[0].code}`)" if found else "accepted"
                different.append((name, schema, sdk[name], first))
    args.out.write_text(report(rows, different), "utf-8")
    wrong = [name for name, we, they, _ in rows if we != they]
    print(f"{len(rows)} files; SDK and schema disagree on {len(different)}, midwatch and the SDK on {len(wrong)}")
    sys.exit(1 if wrong else 0)


def report(rows: list[tuple[str, bool, bool, bool]], different: list[tuple[str, bool, str, str]]) -> str:
    def said(accepted: bool) -> str:
        return "accepts" if accepted else "refuses"

    agree = sum(we == they for _, we, they, _ in rows)
    lines = [
        "# OpenSLO: whose verdict midwatch follows",
        "",
        "The specification's repository has files to test its JSON Schema with. OpenSLO's Go SDK is newer and stricter;",
        f"and so midwatch gives the SDK's verdict on {agree} of {len(rows)} files. The SDK's were read from its rules,",
        "the other two were run: `python benchmarks/openslo_verdicts.py` writes this page.",
        "",
        f"## The {len(different)} files on which SDK and schema disagree",
        "",
        "| file | schema | SDK | midwatch |",
        "|---|---|---|---|",
        *(f"| {name} | {said(schema)} | refuses: {sdk} | {first} |" for name, schema, sdk, first in different),
        "",
        "## All files",
        "",
        "| file | midwatch | SDK | schema |",
        "|---|---|---|---|",
        *(f"| {name} | {said(we)} | {said(they)} | {said(schema)} |" for name, we, they, schema in rows),
        "",
        "## Where midwatch is milder than the SDK, on purpose",
        "",
        "| what | SDK | midwatch |",
        "|---|---|---|",
        *(f"| {what} | {they} | {we} |" for what, they, we in LENIENT),
        "",
        "The form is one thing, whether a promise can be kept another: a reference that nobody defines, a query for a",
        "system that midwatch cannot ask, or an alert that fires while nothing burns is refused with its own code after",
        "the form was accepted.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
