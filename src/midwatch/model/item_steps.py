"""How events change action items: that part of the fold. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from midwatch.model.items import ActionItem, ItemRecord

MAX_ITEMS: Final = 500
MAX_SEEN: Final = 50

Items = dict[str, ItemRecord]


def opened(items: Items, item: ActionItem, at: float) -> Items:
    """The closed ones go first when there are too many, then the oldest."""
    over = len(items) - MAX_ITEMS + 1
    if over > 0:
        order = sorted(items, key=lambda k: (items[k].status == "open", items[k].opened_at))
        items = {k: v for k, v in items.items() if k not in set(order[:over])}
    return {**items, item.id: ItemRecord(item, at)}


def changed(items: Items, ident: str, **changes: Any) -> Items:
    old = items.get(ident)
    return items if old is None else {**items, ident: replace(old, **changes)}


def seen_again(items: Items, ident: str, incident: str) -> Items:
    old = items.get(ident)
    if old is None or incident in old.seen_in:
        return items
    return changed(items, ident, seen_in=(*old.seen_in, incident)[-MAX_SEEN:])
