"""The page of results can be written anew: what it measures fits what it measures it of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def test_what_the_page_measures_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import slo_cases  # type: ignore[import-not-found]
    import slo_forecasts  # type: ignore[import-not-found]

    held = slo_forecasts.forecasts(np.random.default_rng(1), 3)
    assert sum(row["runs"] for row in held) > 20 and all(0 <= row["coverage"] <= 1 for row in held if row["runs"])
    paged = slo_cases.outages(np.random.default_rng(1), 2, rates=(100.0,))
    assert [row["paged"] for row in paged] == [2, 2, 2, 2]
    assert paged[-1]["policy"] == "guarded, as the watch looks" and paged[-1]["seconds_longest"] < 20
