// The trading page: starts its parts, and sends what the user orders.
import { onSubmit, startAccount, told } from "./account.js";
import { $, element, notice, number, tabs } from "./dom.js";
import { pairOf, shown, startMarket } from "./market.js";
import { randomHex } from "./tracing.js";
import { act, look } from "./wallet.js";

const TYPES = {
  MARKET: ["Market", []],
  LIMIT: ["Limit", ["price", "time_in_force"]],
  LIMIT_MAKER: ["Limit, never taking", ["price"]],
  STOP_LOSS: ["Stop-loss", ["stop_price"]],
  STOP_LOSS_LIMIT: ["Stop-loss with a limit", ["stop_price", "price"]],
  TAKE_PROFIT: ["Take-profit", ["stop_price"]],
  TAKE_PROFIT_LIMIT: ["Take-profit with a limit", ["stop_price", "price"]],
};
const STATUSES = {
  NEW: "waits",
  PARTIALLY_FILLED: "filled in part, the rest waits",
  FILLED: "filled",
  EXPIRED: "not to be had, given up",
};
const order = $("order-form").elements;

for (const group of document.querySelectorAll(".tabs")) tabs(group);
order.type.append(...Object.entries(TYPES).map(([value, [text]]) => element("option", { value, text })));
order.type.addEventListener("change", showFields);
$("order-form").addEventListener("input", estimate);
addEventListener("kx-price", ({ detail }) => {
  if (!TYPES[order.type.value][1].includes("price")) order.type.value = "LIMIT";
  order.price.value = detail.toFixed(2);
  showFields();
});
addEventListener("kx-pair", () => {
  order.price.value = order.stop_price.value = "";
  estimate();
});

onSubmit("order-form", async ({ side, type, quantity, ...fields }) => {
  const pair = shown.pair;
  const body = { client_order_id: randomHex(16), pair, side, type, quantity };
  for (const name of TYPES[type][1]) body[name] = fields[name];
  const attributes = {
    "order.pair": pair, "order.side": side, "order.type": type, "order.quantity": Number(quantity),
    "order.price": body.price && Number(body.price),
  };
  const { reply, traceId } = await act("order", "submit", attributes, "POST", "/api/v1/orders", body);
  const at = reply.fill_price ? ` at ${number(reply.fill_price, 2)}` : "";
  notice(`${side} ${quantity} ${pairOf(pair).base}: ${STATUSES[reply.status] ?? reply.status}${at}`, told(traceId));
});

onSubmit("trade-form", async ({ side, margin, leverage, stop_loss, take_profit }) => {
  const asset = pairOf().base;
  const body = {
    client_trade_id: randomHex(16), asset, side, margin, leverage: Number(leverage),
    stop_loss: stop_loss || null, take_profit: take_profit || null,
  };
  const attributes = { "cfd.asset": asset, "cfd.side": side, "cfd.leverage": body.leverage, "cfd.margin_usd": Number(margin) };
  const { reply, traceId } = await act("cfd", "open", attributes, "POST", "/api/v1/cfd/trades", body, "trade_id");
  notice(`${side} ${asset} with ${leverage}×, opened at ${number(reply.entry_price, 2)}`, told(traceId));
});

onSubmit("funds-form", async ({ kind, asset, amount }) => {
  const body = { client_id: randomHex(16), asset, amount };
  const attributes = { "payment.asset": asset, "payment.amount": Number(amount) };
  const { reply, traceId } = await act(kind, "submit", attributes, "POST", `/api/v1/${kind}s`, body, "payment_id");
  notice(`${kind === "deposit" ? "Deposited" : "Withdrew"} ${reply.amount} ${asset}, fee ${reply.fee}: ${reply.status.toLowerCase()}`, told(traceId));
});

onSubmit("transfer-form", async ({ to_address, asset, amount }) => {
  const body = { client_transfer_id: randomHex(16), asset, amount, to_address };
  const attributes = { "transfer.asset": asset, "transfer.amount": Number(amount) };
  const { traceId } = await act("transfer", "submit", attributes, "POST", "/api/v1/transfers", body);
  notice(`Sent ${amount} ${asset}`, told(traceId));
});

function showFields() {
  const needed = TYPES[order.type.value][1];
  for (const label of $("order-form").querySelectorAll("[data-needs]")) {
    label.hidden = !needed.includes(label.dataset.needs);
    const field = order[label.dataset.needs];
    field.required = !label.hidden;
    if (!label.hidden && !field.value && shown.last) field.value = shown.last.toFixed(2);
  }
  estimate();
}

function estimate() {
  const quantity = Number(order.quantity.value);
  const price = order.price.closest("label").hidden ? shown.last : Number(order.price.value);
  $("estimate").textContent = quantity > 0 && price > 0 ? `about ${number(quantity * price, 2)} USD, and 0.1% at most as a fee` : "";
}

const [config] = await look("page.load.client", ["/page/config.json"]);
for (const select of document.querySelectorAll("[data-assets]"))
  select.append(...config.assets.map((asset) => element("option", { text: asset })));
startMarket(config);
showFields();
await startAccount();
