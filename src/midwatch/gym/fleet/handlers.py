"""What each service does with a request. A handler gets ``(service, request, path segments)`` and answers JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from midwatch.gym.fleet.outgoing import NotFound
from midwatch.gym.fleet.service import Service
from midwatch.gym.fleet.telemetry import PRODUCER

Request = web.BaseRequest
CATEGORIES = 12


async def _body(request: Request) -> dict[str, Any]:
    decoded = await request.json()
    if not isinstance(decoded, dict):
        raise ValueError("a JSON object is needed")
    return decoded


def _ids(request: Request) -> list[int]:
    return [int(part) for part in request.query.get("ids", "").split(",") if part][:50]


def _csv(ids: list[int]) -> str:
    return ",".join(map(str, ids))


# gateway


async def gateway_home(service: Service, request: Request, parts: list[str]) -> Any:
    return await service.http.call("storefront", "GET", f"/home?{request.query_string}", route="/home")


async def gateway_search(service: Service, request: Request, parts: list[str]) -> Any:
    return await service.http.call("search", "GET", f"/query?{request.query_string}", route="/query")


async def gateway_product(service: Service, request: Request, parts: list[str]) -> Any:
    return await service.http.call("storefront", "GET", f"/product/{int(parts[1])}", route="/product/{id}")


async def gateway_cart(service: Service, request: Request, parts: list[str]) -> Any:
    return await service.http.call("cart", "POST", "/items", body=await _body(request))


async def gateway_checkout(service: Service, request: Request, parts: list[str]) -> Any:
    return await service.http.call("checkout", "POST", "/checkout", body=await _body(request))


async def gateway_account(service: Service, request: Request, parts: list[str]) -> Any:
    user = int(parts[1])
    profile, orders, messages = await asyncio.gather(
        service.http.call("user", "GET", f"/users/{user}", route="/users/{id}"),
        service.http.call("order", "GET", f"/orders/{user}", route="/orders/{user}"),
        service.http.call("notification", "GET", f"/inbox/{user}", route="/inbox/{user}"),
    )
    return {"user": profile, "orders": orders, "messages": messages}


# storefront, search, recommend


async def storefront_home(service: Service, request: Request, parts: list[str]) -> Any:
    category = int(request.query.get("category", 0)) % CATEGORIES
    page = await service.http.call("catalog", "GET", f"/category/{category}", route="/category/{id}")
    ids = [item["id"] for item in page.get("items", [])]
    prices, ratings, picks = await asyncio.gather(
        service.http.call("pricing", "GET", f"/quote?ids={_csv(ids)}", route="/quote"),
        service.http.call("review", "GET", f"/ratings?ids={_csv(ids)}", route="/ratings"),
        service.http.call("recommend", "GET", f"/picks/{category}", route="/picks/{category}"),
    )
    return {"items": ids, "prices": prices, "ratings": ratings, "picks": picks}


async def storefront_product(service: Service, request: Request, parts: list[str]) -> Any:
    product = int(parts[1])
    item = await service.http.call("catalog", "GET", f"/products/{product}", route="/products/{id}")
    price, reviews, similar, stock = await asyncio.gather(
        service.http.call("pricing", "GET", f"/quote?ids={product}", route="/quote"),
        service.http.call("review", "GET", f"/reviews/{product}", route="/reviews/{product}"),
        service.http.call("recommend", "GET", f"/similar/{product}", route="/similar/{product}"),
        service.http.call("inventory", "GET", f"/stock/{product}", route="/stock/{product}"),
    )
    return {"item": item, "price": price, "reviews": reviews, "similar": similar, "stock": stock}


async def search_query(service: Service, request: Request, parts: list[str]) -> Any:
    term = request.query.get("q", "")[:40]
    if service.flags.get("fuzzy_match"):
        term = term.lower().strip("s")
    found = await service.http.call("catalog", "GET", f"/find?q={term}", route="/find")
    ids = [item["id"] for item in found.get("items", [])]
    prices = await service.http.call("pricing", "GET", f"/quote?ids={_csv(ids)}", route="/quote")
    return {"items": found.get("items", []), "prices": prices}


async def recommend_picks(service: Service, request: Request, parts: list[str]) -> Any:
    page = await service.http.call("catalog", "GET", f"/category/{int(parts[1])}", route="/category/{id}")
    items = sorted(page.get("items", []), key=lambda item: -float(item.get("rating", 0)))
    return {"picks": [item["id"] for item in items[:4]]}


async def recommend_similar(service: Service, request: Request, parts: list[str]) -> Any:
    page = await service.http.call("catalog", "GET", f"/category/{int(parts[1]) % CATEGORIES}", route="/category/{id}")
    return {"similar": [item["id"] for item in page.get("items", [])[:4]]}


# catalog, pricing


async def catalog_category(service: Service, request: Request, parts: list[str]) -> Any:
    category = int(parts[1])

    async def load() -> Any:
        rows = await service.out.query(
            "SELECT", "products",
            "SELECT p.id, p.name, round(avg(r.stars), 2)::float AS rating, count(*) AS reviews FROM products p"
            " JOIN reviews r ON r.product_id + 0 = p.id WHERE p.category = %s AND r.id > 80000"
            " GROUP BY p.id, p.name ORDER BY count(*) DESC, p.id LIMIT %s",
            category, int(service.config["page_size"]),
        )  # fmt: skip
        return {"items": rows}

    return await service.out.cached(f"category:{category}:{service.config['page_size']}", load)


async def catalog_product(service: Service, request: Request, parts: list[str]) -> Any:
    product = int(parts[1])

    async def load() -> Any:
        rows = await service.out.query(
            "SELECT", "products", "SELECT id, name, category, description FROM products WHERE id = %s", product
        )
        return rows[0] if rows else None

    found = await service.out.cached(f"product:{product}", load)
    if found is None:
        raise NotFound(f"product {product}")
    return found


async def catalog_find(service: Service, request: Request, parts: list[str]) -> Any:
    term = request.query.get("q", "")

    async def load() -> Any:
        rows = await service.out.query(
            "SELECT", "products", "SELECT id, name FROM products WHERE name ILIKE %s ORDER BY id LIMIT %s",
            f"%{term}%", int(service.config["page_size"]),
        )  # fmt: skip
        return {"items": rows}

    return await service.out.cached(f"find:{term}:{service.config['page_size']}", load)


async def pricing_quote(service: Service, request: Request, parts: list[str]) -> Any:
    ids = _ids(request)

    async def load() -> Any:
        rows = await service.out.query(
            "SELECT", "prices", "SELECT product_id, cents FROM prices WHERE product_id = ANY(%s)", ids
        )
        return {str(row["product_id"]): row["cents"] for row in rows}

    prices = await service.out.cached(f"quote:{_csv(sorted(ids))}", load)
    if service.flags.get("round_prices"):
        prices = {key: round(cents, -1) for key, cents in prices.items()}
    return {"currency": "EUR" if service.region == "eu" else "USD", "prices": prices}


# cart, checkout, payment, fraud


async def cart_add(service: Service, request: Request, parts: list[str]) -> Any:
    body = await _body(request)
    user, product = int(body["user"]), int(body["product"])
    quote = await service.http.call("pricing", "GET", f"/quote?ids={product}", route="/quote")
    cents = quote.get("prices", {}).get(str(product), 0)
    rows = await service.out.query(
        "INSERT", "carts", "INSERT INTO carts (user_id, product_id, quantity, cents) VALUES (%s, %s, 1, %s) RETURNING id",
        user, product, cents,
    )  # fmt: skip
    return {"line": rows[0]["id"], "cents": cents}


async def cart_get(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query(
        "SELECT", "carts", "SELECT product_id, quantity, cents FROM carts WHERE user_id = %s ORDER BY id DESC LIMIT 5",
        int(parts[1]),
    )  # fmt: skip
    return {"lines": rows}


async def checkout_post(service: Service, request: Request, parts: list[str]) -> Any:
    body = await _body(request)
    user = int(body["user"])
    cart, profile = await asyncio.gather(
        service.http.call("cart", "GET", f"/carts/{user}", route="/carts/{user}"),
        service.http.call("user", "GET", f"/users/{user}", route="/users/{id}"),
    )
    ids = sorted({line["product_id"] for line in cart.get("lines", [])} | {int(body["product"])})
    quote = await service.http.call("pricing", "GET", f"/quote?ids={_csv(ids)}", route="/quote")
    cents = sum(quote.get("prices", {}).values())
    payment = await service.http.call(
        "payment", "POST", "/authorize", body={"user": user, "cents": cents, "tier": profile.get("tier", "basic")}
    )
    order = await service.http.call(
        "order",
        "POST",
        "/orders",
        body={"user": user, "cents": cents, "products": ids, "payment": payment.get("payment", 0)},
    )
    return {"order": order.get("order"), "cents": cents}


async def payment_authorize(service: Service, request: Request, parts: list[str]) -> Any:
    body = await _body(request)
    user, cents = int(body["user"]), int(body["cents"])
    verdict = await service.http.call("fraud", "POST", "/check", body={"user": user, "cents": cents}, repeatable=True)
    rows = await service.out.query(
        "INSERT", "payments", "INSERT INTO payments (user_id, cents, status, detail) VALUES (%s, %s, %s, %s) RETURNING id",
        user, cents, "authorized" if verdict.get("ok", True) else "review", "card ending 4242, 3-D Secure " + "x" * 120,
    )  # fmt: skip
    if service.flags.get("audit"):
        service.telemetry.log("INFO", "payment authorized")
    return {"payment": rows[0]["id"]}


async def fraud_check(service: Service, request: Request, parts: list[str]) -> Any:
    body = await _body(request)
    rows = await service.out.query(
        "SELECT", "payments",
        "SELECT count(*) AS n, coalesce(sum(cents), 0)::bigint AS cents FROM payments p, generate_series(1, 3) hour"
        " WHERE user_id = %s AND created_at > now() - make_interval(days => hour * 30)", int(body["user"]),
    )  # fmt: skip
    limit = 40 if service.flags.get("velocity_rule") else 60
    return {"ok": int(rows[0]["n"]) < limit * 100, "seen": rows[0]["n"]}


# order, inventory, shipping, notification, user, review


async def order_post(service: Service, request: Request, parts: list[str]) -> Any:
    body = await _body(request)
    user, products = int(body["user"]), [int(p) for p in body["products"]]
    await service.http.call("inventory", "POST", "/reserve", body={"products": products})
    rows = await service.out.query(
        "INSERT", "orders", "INSERT INTO orders (user_id, cents, status, detail) VALUES (%s, %s, 'placed', %s) RETURNING id",
        user, int(body["cents"]), json.dumps({"products": products, "note": "n" * 120}),
    )  # fmt: skip
    order = rows[0]["id"]
    attributes = {
        "messaging.system": "valkey",
        "messaging.destination.name": "orders",
        "messaging.operation.type": "send",
        "messaging.operation.name": "XADD",
        "peer.service": "orders",
        "server.address": "valkey-queue.gym",
    }
    assert service.out.broker is not None
    with service.telemetry.span("send orders", PRODUCER, attributes) as span:
        fields = {"order": order, "user": user, "traceparent": span.traceparent}
        await service.out.broker.xadd("orders", fields, maxlen=20_000, approximate=True)  # type: ignore[arg-type]
    return {"order": order}


async def order_list(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query(
        "SELECT", "orders", "SELECT id, cents, status FROM orders WHERE user_id = %s ORDER BY created_at DESC LIMIT 5",
        int(parts[1]),
    )  # fmt: skip
    parcels = {}
    if rows:
        parcels = await service.http.call(
            "shipping", "GET", f"/parcels?ids={_csv([r['id'] for r in rows])}", route="/parcels"
        )
    return {"orders": rows, "parcels": parcels}


async def inventory_stock(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query("SELECT", "stock", "SELECT units FROM stock WHERE product_id = %s", int(parts[1]))
    return {"units": rows[0]["units"] if rows else 0}


async def inventory_reserve(service: Service, request: Request, parts: list[str]) -> Any:
    body = await _body(request)
    products = sorted(int(p) for p in body["products"])
    await service.out.query(
        "UPDATE", "stock",
        "UPDATE stock SET units = units - 1 WHERE product_id IN"
        " (SELECT product_id FROM stock WHERE product_id = ANY(%s) ORDER BY product_id FOR UPDATE)", products,
    )  # fmt: skip
    return {"reserved": len(products)}


async def shipping_parcels(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query(
        "SELECT", "shipments",
        "SELECT o AS order_id, (SELECT status FROM shipments WHERE order_id = o LIMIT 1) AS status"
        " FROM unnest(%s::bigint[]) o",
        _ids(request),
    )  # fmt: skip
    return {str(row["order_id"]): row["status"] or "preparing" for row in rows}


async def notification_inbox(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query(
        "SELECT", "notifications", "SELECT count(*) AS unread FROM notifications WHERE user_id = %s", int(parts[1])
    )
    return {"unread": rows[0]["unread"]}


async def user_get(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query("SELECT", "users", "SELECT id, name, tier FROM users WHERE id = %s", int(parts[1]))
    if not rows:
        raise NotFound(f"user {parts[1]}")
    return rows[0]


async def review_ratings(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query(
        "SELECT", "reviews",
        "SELECT p AS product_id, (SELECT round(avg(stars), 2)::float FROM reviews WHERE product_id = p) AS stars"
        " FROM unnest(%s::int[]) p", _ids(request),
    )  # fmt: skip
    return {str(row["product_id"]): row["stars"] for row in rows}


async def review_list(service: Service, request: Request, parts: list[str]) -> Any:
    rows = await service.out.query(
        "SELECT",
        "reviews",
        "SELECT stars, body FROM reviews WHERE product_id = %s ORDER BY id DESC LIMIT 5",
        int(parts[1]),
    )
    return {"reviews": rows}


ROUTES: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "gateway": (
        ("GET", "/", gateway_home),
        ("GET", "/search", gateway_search),
        ("GET", "/products/{id}", gateway_product),
        ("POST", "/cart", gateway_cart),
        ("POST", "/checkout", gateway_checkout),
        ("GET", "/account/{user}", gateway_account),
    ),
    "storefront": (("GET", "/home", storefront_home), ("GET", "/product/{id}", storefront_product)),
    "search": (("GET", "/query", search_query),),
    "catalog": (
        ("GET", "/category/{id}", catalog_category),
        ("GET", "/products/{id}", catalog_product),
        ("GET", "/find", catalog_find),
    ),
    "recommend": (("GET", "/picks/{category}", recommend_picks), ("GET", "/similar/{product}", recommend_similar)),
    "pricing": (("GET", "/quote", pricing_quote),),
    "cart": (("POST", "/items", cart_add), ("GET", "/carts/{user}", cart_get)),
    "checkout": (("POST", "/checkout", checkout_post),),
    "payment": (("POST", "/authorize", payment_authorize),),
    "fraud": (("POST", "/check", fraud_check),),
    "order": (("POST", "/orders", order_post), ("GET", "/orders/{user}", order_list)),
    "inventory": (("GET", "/stock/{product}", inventory_stock), ("POST", "/reserve", inventory_reserve)),
    "shipping": (("GET", "/parcels", shipping_parcels),),
    "notification": (("GET", "/inbox/{user}", notification_inbox),),
    "user": (("GET", "/users/{id}", user_get),),
    "review": (("GET", "/ratings", review_ratings), ("GET", "/reviews/{product}", review_list)),
}


def register(service: Service) -> None:
    for method, template, handler in ROUTES[service.name]:
        service.route(method, template, handler)
