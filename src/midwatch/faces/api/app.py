"""The API alone as an ASGI app: what serves port 8484 where the console is not installed."""

from __future__ import annotations

from fastapi import FastAPI

from midwatch.faces.api.openapi import document
from midwatch.faces.api.routes import router
from midwatch.shell.run import Watch


def api_app(watch: Watch) -> FastAPI:
    app = FastAPI(title="midwatch", docs_url=None, redoc_url=None, openapi_url=None)
    routes = router(watch)
    app.include_router(routes)
    app.openapi = lambda: document(routes.routes)  # type: ignore[method-assign]
    return app
