"""What the fleet is made of: services, whom they call, what they keep, their settings and their releases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

REGIONS: Final = ("eu", "us")
SLOTS: Final = 3  # instances per service and region that the proxy has room for


@dataclass(frozen=True)
class ServiceSpec:
    """One service. ``pool`` is the default size of its database pool per process, 0 when it has no database; ``tables``
    those that it reads or writes; ``consumes`` the stream that its worker takes messages from."""

    name: str
    calls: tuple[str, ...] = ()
    pool: int = 0
    tables: tuple[str, ...] = ()
    cache: bool = False
    broker: bool = False
    consumes: str = ""
    tls: bool = False
    sdk: bool = False  # telemetry by the official OpenTelemetry SDK instead of our exporter
    version: str = "1.4.2"
    config: dict[str, Any] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)


SERVICES: Final[tuple[ServiceSpec, ...]] = (
    ServiceSpec(
        "gateway",
        calls=("storefront", "search", "cart", "checkout", "user", "order", "notification"),
        version="5.2.0",
        config={"workers": 24, "queue_limit": 24, "request_timeout_ms": 2500},
        flags={"compact_responses": False},
    ),
    ServiceSpec(
        "storefront",
        calls=("catalog", "pricing", "recommend", "review", "inventory"),
        version="3.11.4",
        flags={"show_badges": False},
    ),
    ServiceSpec("search", calls=("catalog", "pricing"), version="2.7.1", flags={"fuzzy_match": False}),
    ServiceSpec(
        "catalog", pool=4, tables=("products", "reviews"), cache=True, version="4.0.8", flags={"facets": False}
    ),
    ServiceSpec("recommend", calls=("catalog",), version="1.9.3", flags={"diversify": False}),
    ServiceSpec("pricing", pool=4, tables=("prices",), cache=True, version="2.3.5", flags={"round_prices": False}),
    ServiceSpec("cart", calls=("pricing",), pool=4, tables=("carts",), version="1.6.0", flags={"merge_lines": False}),
    ServiceSpec(
        "checkout",
        calls=("cart", "user", "pricing", "payment", "order"),
        version="6.1.2",
        config={"request_timeout_ms": 2200},
        flags={"express": False},
    ),
    ServiceSpec(
        "payment", calls=("fraud",), pool=5, tables=("payments",), tls=True, version="7.0.3", flags={"audit": False}
    ),
    ServiceSpec("fraud", pool=4, tables=("payments",), version="1.2.9", flags={"velocity_rule": False}),
    ServiceSpec(
        "order",
        calls=("inventory", "shipping"),
        pool=5,
        tables=("orders",),
        broker=True,
        tls=True,
        version="3.3.1",
        flags={"gift_wrap": False},
    ),
    ServiceSpec("inventory", pool=4, tables=("stock",), version="2.0.6", flags={"soft_reserve": False}),
    ServiceSpec(
        "shipping",
        pool=3,
        tables=("shipments",),
        broker=True,
        consumes="shipping",
        version="1.8.2",
        flags={"eta": False},
    ),
    ServiceSpec(
        "notification",
        calls=("user",),
        pool=3,
        tables=("notifications",),
        broker=True,
        consumes="notification",
        version="2.2.2",
        flags={"digest": False},
    ),
    ServiceSpec("user", pool=4, tables=("users",), tls=True, sdk=True, version="4.4.0", flags={"loyalty": False}),
    ServiceSpec("review", pool=4, tables=("reviews",), sdk=True, version="1.1.7", flags={"summaries": False}),
)
BY_NAME: Final = {spec.name: spec for spec in SERVICES}

DEFAULT_CONFIG: Final[dict[str, Any]] = {
    "workers": 32,  # requests that one process works on at the same time
    "queue_limit": 64,  # requests that wait for a worker; more are answered 503
    "request_timeout_ms": 1500,  # of one call to another service
    "retries": 1,  # of a call that may be repeated
    "pool_timeout_ms": 1000,  # wait for a database connection
    "statement_timeout_ms": 1500,
    "cache_ttl_s": 30,
    "cache_timeout_ms": 200,
    "page_size": 12,
}

INDEXES: Final[dict[str, dict[str, str]]] = {
    "reviews_product": {"table": "reviews", "service": "review", "columns": "(product_id)"},
    "orders_user": {"table": "orders", "service": "order", "columns": "(user_id, created_at)"},
    "payments_user": {"table": "payments", "service": "fraud", "columns": "(user_id, created_at)"},
    "shipments_order": {"table": "shipments", "service": "shipping", "columns": "(order_id)"},
    "notifications_user": {"table": "notifications", "service": "notification", "columns": "(user_id)"},
}
TABLES: Final[dict[str, str]] = {
    "products": "catalog",
    "prices": "pricing",
    "carts": "cart",
    "orders": "order",
    "payments": "payment",
    "stock": "inventory",
    "shipments": "shipping",
    "notifications": "notification",
    "users": "user",
    "reviews": "review",
}


def default_config(spec: ServiceSpec) -> dict[str, Any]:
    """The settings that a process of ``spec`` starts with. Upstream host names end in ``.<region>.gym``, filled in by
    the process, so that one configuration serves both regions."""
    config = dict(DEFAULT_CONFIG)
    if spec.pool:
        config["pool_size"] = spec.pool
    for callee in spec.calls:
        config[f"upstream_{callee}"] = callee
    config.update(spec.config)
    return config


def instance_name(service: str, region: str, slot: int) -> str:
    """``payment-eu-1``: the service.instance.id of the process in that place."""
    return f"{service}-{region}-{slot}"


def split_instance(instance: str) -> tuple[str, str, int]:
    """``payment-eu-1`` -> ("payment", "eu", 1). Raises ValueError."""
    service, region, slot = instance.rsplit("-", 2)
    return service, region, int(slot)
