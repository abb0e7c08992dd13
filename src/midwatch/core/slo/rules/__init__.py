"""Promises as Prometheus rules, as plain data: one file for each form.

``native`` counts good and total once and derives every window from their sums; ``sloth`` says what Sloth would say, for
dashboards and habits that exist; ``composite`` derives from other promises' native counts; ``grafana`` is the dashboard.

A group is ``{"name": ..., "interval": ..., "rules": [...]}``; a rule has ``record`` or ``alert``, ``expr``, ``labels`` and,
of an alert, ``annotations`` and ``for``. Everything is valid in the character set that every Prometheus knows.
"""

from __future__ import annotations

from typing import Any

Rule = dict[str, Any]
Group = dict[str, Any]
