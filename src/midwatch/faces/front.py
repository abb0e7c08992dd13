"""Everything that answers on the console's port: the doors of other systems in front, pages and API behind them."""

from __future__ import annotations

from typing import Any


def console_factory() -> Any:
    """The console with the API in it, the API alone where the console is not installed; alerts come in before either."""
    from midwatch.faces.api.alert_routes import AlertRoutes
    from midwatch.faces.api.pager_routes import PagerRoutes
    from midwatch.faces.api.slack_routes import SlackRoutes

    app_of: Any
    try:
        from midwatch.faces.console.app import console_app

        app_of = console_app
    except ImportError:
        from midwatch.faces.api.app import api_app

        app_of = api_app
    return lambda watch: AlertRoutes(PagerRoutes(SlackRoutes(app_of(watch), watch), watch), watch)
