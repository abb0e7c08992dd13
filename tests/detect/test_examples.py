"""Every detector shows itself on a seeded example; each of them runs."""

from __future__ import annotations

import doctest
import importlib

import pytest

WITH_EXAMPLES = ("bursts", "dead", "novelty", "shapes", "shift", "spans", "trend")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_of_a_detector_runs(name: str) -> None:
    module = importlib.import_module(f"midwatch.core.detect.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed
