"""How each kind of trace of the exchange has to look: its tree, and the attributes of its spans."""

from __future__ import annotations

# Service, name and kind by depth, children in the order of their names; `<` names the span that is linked to.
ORDER = """\
kx-wallet order.submit.client INTERNAL
  kx-wallet POST CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange POST /api/v1/orders SERVER
          kx-exchange INSERT orders CLIENT
          kx-exchange SELECT wallets CLIENT
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < order.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher order.match CONSUMER < publish <default>
                kx-matcher journal.append INTERNAL
                kx-matcher order.response PRODUCER
                kx-matcher orderbook.execute INTERNAL
      api-gateway kong.router INTERNAL
  kx-wallet order.response.received INTERNAL
"""
TRANSFER = """\
kx-wallet transfer.submit.client INTERNAL
  kx-wallet POST CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange POST /api/v1/transfers SERVER
          kx-exchange INSERT transfers CLIENT
          kx-exchange SELECT addresses CLIENT
          kx-exchange SELECT wallets CLIENT
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < transfer.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher btc.transfer CONSUMER < publish <default>
                kx-matcher journal.append INTERNAL
                kx-matcher transfer.response PRODUCER
      api-gateway kong.router INTERNAL
  kx-wallet transfer.response.received INTERNAL
"""
CANCEL = """\
kx-wallet order.cancel.client INTERNAL
  kx-wallet DELETE CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange DELETE /api/v1/orders/{order_id} SERVER
          kx-exchange SELECT orders CLIENT
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < order.cancel.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher order.cancel CONSUMER < publish <default>
                kx-matcher journal.append INTERNAL
                kx-matcher order.cancel.response PRODUCER
      api-gateway kong.router INTERNAL
  kx-wallet order.cancel.received INTERNAL
"""
CFD = """\
kx-wallet cfd.{what}.client INTERNAL
  kx-wallet {method} CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange {method} {path} SERVER
{statements}\
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < cfd.{what}.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher cfd.{what} CONSUMER < publish <default>
                kx-matcher cfd.{what}.response PRODUCER
                kx-matcher journal.append INTERNAL
      api-gateway kong.router INTERNAL
  kx-wallet cfd.{what}.received INTERNAL
"""
CFD_OPEN = CFD.format(
    what="open",
    method="POST",
    path="/api/v1/cfd/trades",
    statements="          kx-exchange INSERT cfd_trades CLIENT\n"
    "          kx-exchange SELECT wallets CLIENT\n",
)
CFD_CLOSE = CFD.format(
    what="close",
    method="DELETE",
    path="/api/v1/cfd/trades/{trade_id}",
    statements="          kx-exchange SELECT cfd_trades CLIENT\n",
)
# What the price ends: nobody asked for it, so the exchange is the root.
CFD_TRIGGER = """\
kx-exchange cfd.trigger INTERNAL
  kx-exchange UPDATE wallets CLIENT
  kx-exchange payment_response process CONSUMER < cfd.close.response
  kx-exchange publish orders INTERNAL
    kx-exchange publish <default> PRODUCER
      kx-matcher cfd.close CONSUMER < publish <default>
        kx-matcher cfd.close.response PRODUCER
        kx-matcher journal.append INTERNAL
"""
READ = """\
api-gateway kong SERVER
  api-gateway kong.balancer CLIENT
    kx-exchange GET {path} SERVER{statement}
  api-gateway kong.router INTERNAL
"""
# What was executed before is not journaled again.
REPEATED = ORDER.replace("                kx-matcher journal.append INTERNAL\n", "")
REFUSED = """\
kx-wallet order.submit.client INTERNAL
  kx-wallet POST CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange POST /api/v1/orders SERVER
          kx-exchange SELECT wallets CLIENT
      api-gateway kong.router INTERNAL
  kx-wallet order.response.received INTERNAL
"""
UNROUTED = "api-gateway kong SERVER\n  api-gateway kong.router INTERNAL\n"
KINDS = {
    "order": ORDER,
    "transfer": TRANSFER,
    "cancel": CANCEL,
    "cfd open": CFD_OPEN,
    "cfd close": CFD_CLOSE,
    "cfd trigger": CFD_TRIGGER,
    "order repeated": REPEATED,
    "order refused": REFUSED,
    "order read": READ.format(
        path="/api/v1/orders/{order_id}", statement="\n      kx-exchange SELECT orders CLIENT"
    ),
    "wallets read": READ.format(
        path="/api/v1/wallets", statement="\n      kx-exchange SELECT wallets CLIENT"
    ),
    "cfd read": READ.format(
        path="/api/v1/cfd/trades", statement="\n      kx-exchange SELECT cfd_trades CLIENT"
    ),
    "address read": READ.format(path="/api/v1/address", statement=""),
    "no such path": UNROUTED,
}

HTTP_CLIENT = {
    "http.request.method",
    "url.full",
    "server.address",
    "server.port",
    "http.response.status_code",
}
HTTP_SERVER = {
    "http.request.method",
    "url.scheme",
    "url.path",
    "server.address",
    "server.port",
    "network.protocol.version",
    "http.response.status_code",
}
DATABASE = {"db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "db.query.text"}
MESSAGING = {
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.message.conversation_id",
    "messaging.message.body.size",
}
ORDER_SENT = {"order.pair", "order.side", "order.type", "order.quantity", "user.id"}
ORDER_KNOWN = ORDER_SENT | {"order.id", "order.status"}
TRANSFER_SENT = {"transfer.asset", "transfer.amount", "user.id"}
TRANSFER_KNOWN = TRANSFER_SENT | {"transfer.id", "transfer.status"}
CFD_SENT = {"cfd.asset", "cfd.side", "cfd.leverage", "cfd.margin_usd", "user.id"}
CFD_KNOWN = CFD_SENT | {"cfd.id", "cfd.status", "cfd.entry_price_usd"}
CFD_ENDED = {"cfd.id", "cfd.status", "cfd.profit_usd", "user.id"}
# By kind of trace and span name, beside what a span's own kind asks for.
DOMAIN = {
    "order": {
        "order.submit.client": ORDER_KNOWN,
        "POST /api/v1/orders": ORDER_KNOWN
        | {"http.route", "order.filled_quantity", "order.value_usd", "market.price", "market.price_age_ms"},
        "orderbook.execute": ORDER_KNOWN | {"order.filled_quantity"},
        "payment_response process": {"order.id", "order.status"},
        "order.response.received": {"order.id", "order.status"},
        "journal.append": {"journal.sequence", "journal.bytes"},
        "kong": {"http.route"},
        "kong.router": {"http.route", "kong.route.name"},
        "publish orders": {"messaging.destination.name"},
    },
    "transfer": {
        "transfer.submit.client": TRANSFER_KNOWN,
        "POST /api/v1/transfers": TRANSFER_KNOWN | {"http.route"},
        "btc.transfer": TRANSFER_KNOWN,
        "payment_response process": {"transfer.id", "transfer.status"},
        "transfer.response.received": {"transfer.id", "transfer.status"},
        "journal.append": {"journal.sequence", "journal.bytes"},
    },
    "cancel": {
        "order.cancel.client": {"order.id", "order.status", "user.id"},
        "DELETE /api/v1/orders/{order_id}": {
            "order.id",
            "order.pair",
            "order.status",
            "user.id",
            "http.route",
        },
        "order.cancel": {"order.id", "order.pair", "order.status"},
        "order.cancel.received": {"order.id", "order.status"},
    },
    "cfd open": {
        "cfd.open.client": CFD_SENT | {"cfd.id", "cfd.status"},
        "POST /api/v1/cfd/trades": CFD_KNOWN | {"http.route", "market.price", "market.price_age_ms"},
        "cfd.open": CFD_KNOWN,
        "payment_response process": {"cfd.id", "cfd.status"},
        "cfd.open.received": {"cfd.id", "cfd.status"},
        "journal.append": {"journal.sequence", "journal.bytes"},
    },
    "cfd close": {
        "cfd.close.client": {"cfd.id", "cfd.status", "user.id"},
        "DELETE /api/v1/cfd/trades/{trade_id}": CFD_KNOWN
        | {"http.route", "cfd.profit_usd", "market.price", "market.price_age_ms"},
        "cfd.close": CFD_ENDED,
        "payment_response process": {"cfd.id", "cfd.status"},
        "cfd.close.received": {"cfd.id", "cfd.status"},
    },
    "cfd trigger": {"cfd.trigger": CFD_KNOWN | {"cfd.profit_usd"}, "cfd.close": CFD_ENDED},
    "order refused": {
        "order.submit.client": ORDER_SENT | {"order.status", "error.type"},
        "POST": {"error.type"},
    },
}
RESOURCE = {"service.name", "service.namespace", "service.version", "service.instance.id"}
