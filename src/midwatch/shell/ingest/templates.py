"""Online log templates: lines that differ only in their values become one pattern.

Three steps, each remembered so that it is taken once:

1. *Masks* (``masks.py``): what is a value by its looks becomes ``<*>``.
2. *Folds*: what repeats side by side (a list, records of one shape) counts once, so that lines are compared without regard
   to how many there were.
3. *Holes*: two templates that agree but for one word are one template with a value there, when enough different words were
   seen in that place: few where the words look like values (``tty0``, ``a.b.c``) or much else agrees, many for plain words,
   the first word and words in capitals, which tell states apart (``from NEW to RUNNING``). Words alone never merge.

The id of a template is the hash of the first form that it was seen in. A template that grows keeps its id; when templates
merge, the oldest keeps its own and the others point to it (``into``). So the same line gives the same id in every service,
and after a restart without memory, as long as it is in its first form; ``saved`` and ``restore`` carry the merges over as
well. Everything is bounded: templates in all and of each owner, and what is remembered of lines. Beyond a bound a line of a
new shape belongs to ``other``; ``refused`` counts them.

The idea of masks before a search among the known is Drain's (He et al., ICWS 2017); holes stand where it has a tree of fixed
depth and a threshold of similarity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import takewhile
from typing import Any, Final

from midwatch.shell.ingest.masks import WILD, Pieces, across, shown, untyped

OTHER: Final = "other"
_MAX_TOKENS: Final = 60
_MAX_CHARS: Final = 2000
_REMEMBERED: Final = 20_000  # masked lines
_LONGEST_RECORD: Final = 8  # tokens of a record that repeats
_OPENING, _CLOSING = "=:([{<'\",;#@/|", ")]}>'\",;:#|"


@dataclass(slots=True, eq=False)
class Template:
    """``tokens`` may still grow more general; ``id`` never changes. ``typed`` has the same tokens with typed values,
    ``runs`` what a folded token stands for while that is always the same, ``open`` where words of any kind may stand.
    ``into`` is the template that this one became a part of."""

    id: str
    tokens: list[str]
    typed: list[str]
    runs: dict[int, str] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    owner: str = ""
    born: int = 0
    into: Template | None = None

    @property
    def text(self) -> str:
        return shown(" ".join(self.runs.get(i, token) for i, token in enumerate(self.tokens)))

    def now(self) -> Template:
        """What it is a part of by now: itself, most of the time."""
        found = self
        while found.into is not None:
            found = found.into
        return found


class Templates:
    """All templates seen: at most ``limit``, and at most ``per_owner`` that any one owner was the first to show."""

    def __init__(self, limit: int = 5000, per_owner: int | None = None) -> None:
        self._limit, self._per_owner = limit, limit if per_owner is None else per_owner
        self._pieces = Pieces()
        self._masked: dict[str, Template] = {}
        self._known: dict[tuple[str, ...], Template] = {}
        self._holes: dict[int, list[Template]] = {}
        self._open: dict[tuple[int, str], list[Template]] = {}
        self._owned: dict[str, int] = {}
        self._born = 0
        self._other = Template(OTHER, ["(other", "lines)"], ["(other", "lines)"])
        self.refused = 0
        self.merged = 0

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Template]:
        return iter(tuple(self._known.values()))

    def find(self, line: str, exception_type: str = "", owner: str = "") -> Template:
        """The template of ``line`` (its first line that is not blank); ``exception_type``, from the record's attributes, is
        part of it. ``owner`` is who wrote it: a service."""
        if len(line) > _MAX_CHARS or "\n" in line:
            line = line[: 2 * _MAX_CHARS].lstrip().partition("\n")[0][:_MAX_CHARS]
        masked = " ".join(map(self._pieces.__getitem__, line.split()))
        if exception_type and exception_type not in line:
            masked = f"{exception_type}: {masked}"
        found = self._masked.get(masked)
        if found is None:
            found = self._match(masked, owner)
            if found is self._other:
                self.refused += 1
                return found
            if len(self._masked) >= _REMEMBERED:
                self._masked.clear()
            self._masked[masked] = found
        return found if found.into is None else found.now()

    # --- a masked line that was not seen before -------------------------------------------------------------------------

    def _match(self, masked: str, owner: str) -> Template:
        typed, runs = _folded(across(masked).split(maxsplit=_MAX_TOKENS)[:_MAX_TOKENS] or ["(empty)"])
        tokens = [untyped(token) for token in typed]
        found = self._known.get(tuple(tokens)) or self._fitting(tokens)
        if found is None:
            if len(self._known) >= self._limit or self._owned.get(owner, 0) >= self._per_owner:
                return self._other
            self._born += 1
            found = Template(_identity(tokens), tokens, typed, runs, set(), owner, self._born)
            self._owned[owner] = self._owned.get(owner, 0) + 1
            self._learn(found)
        else:
            for i in range(len(tokens)):
                if found.typed[i] != typed[i]:
                    found.typed[i] = found.tokens[i]
                if found.runs.get(i) != runs.get(i):
                    found.runs.pop(i, None)
        return found.now()

    def _fitting(self, tokens: list[str]) -> Template | None:
        """The oldest open template that ``tokens`` are an example of."""
        fitting = [
            template
            for head in (tokens[0], WILD)
            for template in self._open.get((len(tokens), head), ())
            if all(
                a == b or (i in template.open and _fits(a, b))
                for i, (a, b) in enumerate(zip(template.tokens, tokens, strict=True))
            )
        ]
        return min(fitting, key=lambda template: template.born) if fitting else None

    def _learn(self, template: Template) -> None:
        """Make it known, and look whether it makes a hole wide enough."""
        self._known[tuple(template.tokens)] = template
        for i, token in enumerate(template.tokens):
            if token == WILD:
                continue
            hole = self._holes.setdefault(_around(template.tokens, i), [])
            hole[:] = [
                other
                for other in hole
                if other.into is None
                and other is not template
                and _around(other.tokens, i) == _around(template.tokens, i)
            ]
            hole.append(template)
            if len(hole) >= _enough(template.tokens, i, [other.tokens[i] for other in hole]):
                self._merge(hole, i)
                return

    def _merge(self, hole: list[Template], i: int) -> None:
        parts = sorted(hole, key=lambda template: template.born)
        hole.clear()
        tokens = list(parts[0].tokens)
        tokens[i] = _common([part.tokens[i] for part in parts])
        same = self._known.get(tuple(tokens))
        if same is not None:
            parts = sorted({*parts, same}, key=lambda template: template.born)
        first = parts[0]
        for part in parts:
            self._forget(part)
            if part is not first:
                part.into = first
                first.open |= part.open
                self.merged += 1
            for j, (a, b) in enumerate(zip(first.typed, part.typed, strict=True)):
                if a != b:
                    first.typed[j] = tokens[j]
            for j in [j for j, run in first.runs.items() if part.runs.get(j) != run]:
                del first.runs[j]
        first.tokens, first.typed[i] = tokens, tokens[i]
        first.open.add(i)
        self._owned[first.owner] = self._owned.get(first.owner, 0) + 1
        self._open.setdefault((len(tokens), _head(first)), []).append(first)
        self._learn(first)

    def _forget(self, template: Template) -> None:
        if self._known.pop(tuple(template.tokens), None) is not None:
            self._owned[template.owner] -= 1
        if template.open:
            self._open[len(template.tokens), _head(template)].remove(template)

    # --- memory ---------------------------------------------------------------------------------------------------------

    def keep(self, ids: Collection[str]) -> None:
        """Forget the templates not among ``ids`` once the room is half used, and what was counted as refused. A line
        of a forgotten one gets the same id again, while it is in its first form."""
        if 2 * len(self._known) < self._limit and all(2 * n < self._per_owner for n in self._owned.values()):
            return
        kept = [template for template in self._known.values() if template.id in ids]
        self._clear()
        for template in sorted(kept, key=lambda template: template.born):
            self._place(template)

    def _clear(self) -> None:
        for held in (self._masked, self._known, self._holes, self._open, self._owned):
            held.clear()

    def _place(self, template: Template) -> None:
        self._owned[template.owner] = self._owned.get(template.owner, 0) + 1
        if template.open:
            self._open.setdefault((len(template.tokens), _head(template)), []).append(template)
        self._learn(template)

    def saved(self) -> list[dict[str, Any]]:
        """Plain values from which ``restore`` makes the same templates, the oldest first."""
        return [
            {
                "id": one.id,
                "tokens": list(one.tokens),
                "typed": list(one.typed),
                "runs": {str(i): run for i, run in one.runs.items()},
                "open": sorted(one.open),
                "owner": one.owner,
            }
            for one in sorted(self._known.values(), key=lambda template: template.born)
        ]

    def restore(self, saved: Iterable[dict[str, Any]]) -> None:
        """Take over what another process saved. Raises KeyError, TypeError or ValueError when it is not that."""
        self._clear()
        for one in saved:
            if len(self._known) >= self._limit:
                break
            tokens, typed = [str(t) for t in one["tokens"]], [str(t) for t in one["typed"]]
            if len(tokens) != len(typed) or not tokens:
                raise ValueError("a template whose tokens do not fit together")
            self._born += 1
            runs = {int(i): str(run) for i, run in dict(one["runs"]).items()}
            known = {int(i) for i in one["open"] if 0 <= int(i) < len(tokens)}
            self._place(Template(str(one["id"]), tokens, typed, runs, known, str(one["owner"]), self._born))


def _identity(tokens: Sequence[str]) -> str:
    return blake2b(shown(" ".join(tokens)).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _head(template: Template) -> str:
    return WILD if 0 in template.open else template.tokens[0]


def _around(tokens: Sequence[str], i: int) -> int:
    return hash((tuple(tokens[:i]), tuple(tokens[i + 1 :])))


def _fits(pattern: str, token: str) -> bool:
    before, _, after = pattern.partition(WILD)
    return len(token) >= len(before) + len(after) and token.startswith(before) and token.endswith(after)


def _common(words: Sequence[str]) -> str:
    """What all words begin and end with, up to punctuation, around ``WILD``: ``user=<*>,``."""
    first, shortest = words[0], min(map(len, words))
    same = sum(1 for _ in takewhile(lambda k: all(word[k] == first[k] for word in words), range(shortest)))
    start = max((k + 1 for k in range(same) if first[k] in _OPENING), default=0)
    same = sum(
        1 for _ in takewhile(lambda k: all(word[-k] == first[-k] for word in words), range(1, shortest - start + 1))
    )
    end = sum(1 for _ in takewhile(lambda k: first[-k] in _CLOSING, range(1, same + 1)))
    return first[:start] + WILD + (first[len(first) - end :] if end else "")


def _enough(tokens: Sequence[str], i: int, words: Sequence[str]) -> float:
    """How many different words make a place a value. Infinite where nothing else is said."""
    context = sum(any(c.isalpha() for c in token) for k, token in enumerate(tokens) if k != i)
    if not context:
        return float("inf")
    if all(_like_a_value(word) for word in words):
        return 2
    many = 4 if context > 1 else 8
    if i == 0 or all(word.isupper() for word in words):
        many *= 2
    return many


def _like_a_value(word: str) -> bool:
    """A word with a value or a digit in it, or joined from several."""
    core = word.strip("()[]{}<>,;:.'\"")
    return WILD in core or any(c.isdigit() for c in core) or any(c in "/@\\_=" for c in core) or core.count(".") > 1


def _folded(tokens: list[str]) -> tuple[list[str], dict[int, str]]:
    """Tokens with what repeats side by side left once, and what was folded, by position: the values of a list, records that
    hold a value."""
    runs: dict[int, str] = {}
    out: list[str] = []
    at = 0
    while at < len(tokens):
        size, times = _repeated(tokens, at)
        if times > 1:
            runs[len(out)] = " ".join(untyped(token) for token in tokens[at : at + size * times])
            out += [WILD] if size == 1 else [" ".join(tokens[at : at + size])]
            at += size * times
        else:
            out.append(tokens[at])
            at += 1
    return out, runs


def _repeated(tokens: Sequence[str], at: int) -> tuple[int, int]:
    """(size, times) of what repeats at ``at``; times is 1 when nothing does."""
    for size in range(1, _LONGEST_RECORD + 1):
        unit = [untyped(token) for token in tokens[at : at + size]]
        if len(unit) < size or not any(WILD in token for token in unit):
            continue
        if size == 1 and any(c.isalnum() for c in unit[0].replace(WILD, "")):
            continue
        times = 1
        while [untyped(token) for token in tokens[at + size * times : at + size * (times + 1)]] == unit:
            times += 1
        if times > 1:
            return size, times
    return 1, 1
