"""How well lines were sorted under templates, against templates that people wrote."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from msgspec import Struct


class TemplateScores(Struct, frozen=True):
    """Shares are 0..1. ``ga``: lines in groups that hold the lines of one true template, all of them and no others (Zhu et
    al., ICSE-SEIP 2019); ``fga``: the harmonic mean of the shares of such groups among the found and among the true ones
    (Jiang et al., ISSTA 2024), where one rare template counts as much as a frequent one. ``pa``: lines whose template reads
    as the true one (Dai et al., TSE 2020). ``pta`` and ``rta``: found and true templates that are right, where right is a
    group whose lines have one true template, and whose text is that one's; ``fta`` is their harmonic mean (Khan et al.,
    ICSE 2022)."""

    lines: int
    true_templates: int
    found_templates: int
    ga: float
    fga: float
    fta: float
    pta: float
    rta: float
    pa: float


def spaced(text: str) -> str:
    """One blank where there are several: miners cut lines at blanks and do not know how many there were."""
    return " ".join(text.split())


def template_scores(texts: Sequence[str], truths: Sequence[str]) -> TemplateScores:
    """Per line: the text of the template that was found for it, which is its group, and its true template. At least one
    line."""
    texts, truths = list(map(spaced, texts)), list(map(spaced, truths))
    found, true = _members(texts), _members(truths)
    together = [members for members in found.values() if true[truths[members[0]]] == members]
    right = sum({truths[i] for i in members} == {text} for text, members in found.items())
    pta, rta = right / len(found), right / len(true)
    return TemplateScores(
        lines=len(truths),
        true_templates=len(true),
        found_templates=len(found),
        ga=sum(map(len, together)) / len(truths),
        fga=2 * len(together) / (len(found) + len(true)),
        fta=2 * pta * rta / (pta + rta) if right else 0.0,
        pta=pta,
        rta=rta,
        pa=sum(text == truth for text, truth in zip(texts, truths, strict=True)) / len(truths),
    )


class Found(Struct, frozen=True):
    """What the lines of one true template came under. ``groups``: the labels of all lines in each such group, joined by
    `` + `` (its own label alone where the group holds no other), and the share of the template's lines there, the
    largest first. ``same_text``: one of these groups reads as the true template."""

    groups: tuple[tuple[str, float], ...]
    same_text: bool


def found_of(texts: Sequence[str], truths: Sequence[str], labels: Sequence[str]) -> dict[str, Found]:
    """By label of a true template. Per line: the found text, the true one, and the label of the true one."""
    texts = list(map(spaced, texts))
    found, true = _members(texts), _members(labels)
    return {
        label: Found(
            tuple(
                (" + ".join(sorted({labels[i] for i in found[text]})), count / len(members))
                for text, count in Counter(texts[i] for i in members).most_common()
            ),
            spaced(truths[members[0]]) in {texts[i] for i in members},
        )
        for label, members in true.items()
    }


def _members(groups: Sequence[str]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    return members
