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

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, TypeVar

from midwatch.shell.ingest.folds import folded
from midwatch.shell.ingest.holes import alike, around, bare, common, enough, fits
from midwatch.shell.ingest.masks import DIGITS, WILD, Pieces, across, mask, shown, untyped

OTHER: Final = "other"
_MAX_TOKENS: Final = 60
_MAX_CHARS: Final = 2000
_REMEMBERED: Final = 4_000_000  # characters of lines, of each kind
_Kept = TypeVar("_Kept")
_Text = TypeVar("_Text", str, bytes)
_Key = TypeVar("_Key")


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

    def generalise(self, typed: Sequence[str], runs: dict[int, str]) -> None:
        """Forget what an example of it has otherwise: types of values, and what folded tokens stand for."""
        self.typed = [mine if mine == other else untyped(mine) for mine, other in zip(self.typed, typed, strict=True)]
        self.runs = {i: run for i, run in self.runs.items() if runs.get(i) == run}

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
        self._shapes: dict[bytes, Template] = {}
        self._named: dict[bytes, tuple[int, ...]] = {}
        self._masked: dict[str, Template] = {}
        self._room = _REMEMBERED
        self._known: dict[tuple[str, ...], Template] = {}
        self._holes: dict[int, list[Template]] = {}
        self._open: dict[tuple[int, str], list[Template]] = {}
        self._owned: dict[str, int] = {}
        self._born = 0
        self._other = Template(OTHER, ["(other", "lines)"], ["(other", "lines)"])
        self.refused = 0
        # Templates that became a part of others, for those who count by id and take them from here.
        self.merges: deque[Template] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Template]:
        return iter(tuple(self._known.values()))

    def find(self, line: str, exception_type: str = "", owner: str = "") -> Template:
        """The template of ``line`` (its first line that is not blank); ``exception_type``, from the record's attributes, is
        part of it. ``owner`` is who wrote it: a service."""
        if len(line) > _MAX_CHARS or "\n" in line:
            line = line[: 2 * _MAX_CHARS].lstrip().partition("\n")[0][:_MAX_CHARS]
        shape = line.encode("utf-8", "surrogatepass").translate(DIGITS)
        if exception_type and exception_type not in line:
            shape = exception_type.encode("utf-8", "surrogatepass") + b"\n" + shape
        found = self._shapes.get(shape) or self._look(line, shape, owner)
        return found if found.into is None else found.now()

    # --- a line of a shape that was not seen before ---------------------------------------------------------------------

    def _look(self, line: str, shape: bytes, owner: str) -> Template:
        """Masks see that there is a digit, not which. So lines of one shape share a template, unless a digit is part of a
        name; then the words with such names count, too."""
        named = self._named.get(shape)
        if named is not None:
            words = line.split()
            found = self._shapes.get(_with(shape, words, named))
            if found is not None:
                return found
        prefix, _, rest = shape.decode("utf-8", "surrogatepass").rpartition("\n")
        pieces, words = [self._pieces[piece] for piece in rest.split()], line.split()
        named = tuple(i for i, piece in enumerate(pieces) if "0" in piece)
        for i in named:
            pieces[i] = mask(words[i])
        masked = " ".join(pieces)
        if prefix:
            masked = f"{prefix}: {masked}"
        found = self._masked.get(masked)
        if found is None:
            found = self._match(masked, owner)
            if found is self._other:
                self.refused += 1
                return found
            self._remember(self._masked, masked, found)
        if named:
            self._remember(self._named, shape, named)
            shape = _with(shape, words, named)
        self._remember(self._shapes, shape, found)
        return found

    def _remember(self, memory: dict[_Text, _Kept], text: _Text, kept: _Kept) -> None:
        self._room -= len(text)
        if self._room < 0:
            self._room = _REMEMBERED
            for held in (self._shapes, self._named, self._masked):
                held.clear()
        memory[text] = kept

    def _match(self, masked: str, owner: str) -> Template:
        typed, runs = folded(across(masked).split(maxsplit=_MAX_TOKENS)[:_MAX_TOKENS] or ["(empty)"])
        tokens = [untyped(token) for token in typed]
        found = self._known.get(tuple(tokens)) or self._fitting(tokens)
        if found is None:
            if len(self._known) >= self._limit or self._owned.get(owner, 0) >= self._per_owner:
                return self._other
            self._born += 1
            found = Template(_identity(tokens), tokens, typed, runs, set(), owner, self._born)
            self._learn(found)
        else:
            found.generalise(typed, runs)
        return found.now()

    def _fitting(self, tokens: list[str]) -> Template | None:
        """The oldest open template that ``tokens`` are an example of."""
        fitting = [
            template
            for head in (tokens[0], WILD)
            for template in self._open.get((len(tokens), head), ())
            if all(
                a == b or (i in template.open and fits(a, b))
                for i, (a, b) in enumerate(zip(template.tokens, tokens, strict=True))
            )
        ]
        return min(fitting, key=lambda template: template.born) if fitting else None

    def _learn(self, template: Template) -> None:
        """Make it known, and look whether it makes a hole wide enough."""
        self._known[tuple(template.tokens)] = template
        self._owned[template.owner] = self._owned.get(template.owner, 0) + 1
        if template.open:
            self._open.setdefault(_place(template), []).append(template)
        holes = [(i, self._holes.setdefault(key, [])) for i, key in _keys(template)]
        for _, hole in holes:
            hole.append(template)
        for i, hole in holes:
            tokens = [other.tokens for other in hole]
            if alike(tokens) if i < 0 else enough(tokens, i):
                self._merge(hole)
                return

    def _merge(self, hole: Sequence[Template]) -> None:
        """Make one template of those in ``hole``: a value where their words differ."""
        parts = set(hole)
        words = list(zip(*(part.tokens for part in hole), strict=True))
        differ = {i for i, at in enumerate(words) if len(set(at)) > 1}
        tokens = [common(at) if i in differ else at[0] for i, at in enumerate(words)]
        same = self._known.get(tuple(tokens))
        if same is not None:
            parts.add(same)
        first, *others = sorted(parts, key=lambda template: template.born)
        for part in parts:
            self._forget(part)
        for part in others:
            part.into = first
            first.open |= part.open
            self.merges.append(part)
            first.generalise(part.typed, part.runs)
        first.tokens = tokens
        for i in differ:
            first.typed[i] = tokens[i]
        first.open |= differ
        self._learn(first)

    def _forget(self, template: Template) -> None:
        del self._known[tuple(template.tokens)]
        self._owned[template.owner] -= 1
        if template.open:
            _take(self._open, _place(template), template)
        for _, key in _keys(template):
            _take(self._holes, key, template)

    # --- memory ---------------------------------------------------------------------------------------------------------

    def keep(self, ids: Collection[str]) -> None:
        """Forget the templates not among ``ids`` once the room is half used, and what was counted as refused. A line
        of a forgotten one gets the same id again, while it is in its first form."""
        if 2 * len(self._known) < self._limit and all(2 * n < self._per_owner for n in self._owned.values()):
            return
        kept = [template for template in self._known.values() if template.id in ids]
        self._clear()
        for template in sorted(kept, key=lambda template: template.born):
            self._learn(template)

    def _clear(self) -> None:
        for held in (self._shapes, self._named, self._masked, self._known, self._holes, self._open, self._owned):
            held.clear()

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
            self._learn(Template(str(one["id"]), tokens, typed, runs, known, str(one["owner"]), self._born))


def _with(shape: bytes, words: Sequence[str], named: Sequence[int]) -> bytes:
    """A shape that counts some words as they are."""
    return b"\n".join((shape, *(words[i].encode("utf-8", "surrogatepass") for i in named)))


def _identity(tokens: Sequence[str]) -> str:
    return blake2b(shown(" ".join(tokens)).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _place(template: Template) -> tuple[int, str]:
    """Where an open template is looked for: its length and first word."""
    return len(template.tokens), WILD if 0 in template.open else template.tokens[0]


def _keys(template: Template) -> list[tuple[int, int]]:
    """(position, key of its hole) for each word that might be a value, and -1 for all that look like values together."""
    return [
        *((i, around(template.tokens, i)) for i, token in enumerate(template.tokens) if token != WILD),
        (-1, around(bare(template.tokens), -1)),
    ]


def _take(held: dict[_Key, list[Template]], key: _Key, template: Template) -> None:
    held[key].remove(template)
    if not held[key]:
        del held[key]
