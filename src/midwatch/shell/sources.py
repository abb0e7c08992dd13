"""The sources of the settings, built: each with the arithmetic that its promises are counted by."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midwatch.adapters.sources.prometheus.client import Client
from midwatch.adapters.sources.prometheus.source import Counting, PrometheusSource
from midwatch.core.slo import exact as exactly
from midwatch.core.slo import promql
from midwatch.model.errors import ConfigError, MidwatchError, SourceError
from midwatch.model.ports import Source
from midwatch.model.slo import Slo
from midwatch.shell.config import SourceSettings, resolve


class Queries(Struct, frozen=True):
    """PromQL for the good and for all events of one step."""

    good: str
    total: str


def counting(arithmetic: str) -> Counting:
    """How a promise is counted: ``exact`` (differences that add up) or ``increase`` (as Prometheus extrapolates)."""

    def asked(slo: Slo, step_seconds: float) -> Queries:
        from midwatch.core.slo import queries

        found = queries.counting(slo, promql.duration(step_seconds))
        if arithmetic == "increase":
            return Queries(found.good, found.total)
        return Queries(exactly.exact(found.good, step_seconds), exactly.exact(found.total, step_seconds))

    def friendly(slo: Slo, step_seconds: float) -> Queries:
        try:
            return asked(slo, step_seconds)
        except SourceError:
            raise
        except MidwatchError as error:
            raise SourceError(f"cannot count {slo.name}: {error}", hint=error.hint) from error
        except ValueError as error:  # of the PromQL parser
            raise SourceError(f"cannot count {slo.name}: {error}") from error

    return friendly


def build_source(name: str, settings: SourceSettings) -> Source:
    """The source of one entry of ``sources:``. References are looked up with each question."""

    def headers() -> dict[str, str]:
        try:
            found = {header: resolve(value) for header, value in settings.headers.items()}
            if settings.bearer_token:
                found["Authorization"] = f"Bearer {resolve(settings.bearer_token)}"
            if settings.tenant:
                found["X-Scope-OrgID"] = resolve(settings.tenant)
        except ConfigError as error:
            raise SourceError(f"lacks a secret: {error}", hint=error.hint) from error
        return found

    client = Client(resolve(settings.url), headers, timeout_seconds=settings.timeout_seconds)
    return PrometheusSource(name, client, counting(settings.arithmetic))


def build_sources(settings: Mapping[str, SourceSettings]) -> dict[str, tuple[Source, SourceSettings]]:
    """Every source of ``sources:``. Raises ConfigError when an address is a reference that leads nowhere."""
    return {name: (build_source(name, one), one) for name, one in settings.items()}
