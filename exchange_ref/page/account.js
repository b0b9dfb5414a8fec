// What is the user's own: wallet, orders, positions; and the way in and out.
import { $, amount, element, notice, number, row } from "./dom.js";
import { shown } from "./market.js";
import { Refusal, act, ask, login, logout, look, resume, tracer, user } from "./wallet.js";

const REFRESH_MS = 5_000;
let registering;

export async function startAccount() {
  onSubmit("login-form", async (fields) => {
    if (!fields.totp) delete fields.totp;
    try {
      await login(fields);
    } catch (error) {
      if (error.code === "totp_required") $("totp").hidden = false;
      throw error;
    }
    await enter();
  });
  onSubmit("register-form", async (fields) => {
    await act("registration", "submit", {}, "POST", "/api/v1/auth/register", fields, "email");
    registering = fields;
    $("register-form").hidden = true;
    $("verify-form").hidden = false;
    $("verify-form").elements.code.focus();
  });
  onSubmit("verify-form", async ({ code }) => {
    const root = tracer.start("verification.submit.client");
    try {
      await ask("POST", "/api/v1/auth/verify", { email: registering.email, code }, root);
    } catch (error) {
      root.fail(error.code, error.message);
      throw error;
    } finally {
      root.finish();
    }
    $("verify-form").hidden = true;
    await login(registering);
    registering = undefined;
    await enter();
  });
  $("log-out").addEventListener("click", logout);
  addEventListener("kx-logged-out", leave);
  setInterval(() => document.visibilityState === "visible" && void refresh(), REFRESH_MS);
  leave();
  if (await resume()) await enter();
}

async function enter() {
  $("entry").hidden = true;
  $("desk").hidden = $("log-out").hidden = false;
  $("who").textContent = user.email;
  $("address").textContent = user.address;
  await refresh();
}

function leave() {
  $("entry").hidden = false;
  $("desk").hidden = $("log-out").hidden = true;
  $("who").textContent = "";
  for (const id of ["open-orders", "positions", "orders"])
    $(id).replaceChildren(element("p", { className: "note", text: "Log in to see yours." }));
}

export async function refresh() {
  if (!user.id) return;
  try {
    const paths = ["wallets", "open-orders", "cfd/trades", "orders"].map((name) => `/api/v1/${name}`);
    const [wallets, open, trades, orders] = await look("account.refresh.client", paths);
    $("wallet").tBodies[0].replaceChildren(
      ...wallets.map((wallet) => row([wallet.asset, amount(wallet.available), amount(wallet.locked)])),
    );
    list("open-orders", "No order is open.", [...ORDER, ""], open.map((order) => [...orderCells(order), cancel(order)]));
    list("orders", "Nothing was ordered yet.", [...ORDER, "Mean price", "Status"], orders.map((order) => [
      ...orderCells(order), number(order.fill_price, 2), order.status,
    ]));
    const headings = ["Asset", "Side", "Leverage", "Margin", "Entry", "Price", "Profit USD", "Stop-loss", "Take-profit", "Status"];
    list("positions", "No position was opened yet.", headings, trades.map(tradeCells));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (user.id) $("state").textContent = error.message;
  }
}

const ORDER = ["Pair", "Side", "Type", "Price", "Stop", "Quantity", "Filled"];

function orderCells(order) {
  const side = element("span", { text: order.side, className: order.side === "BUY" ? "rise" : "fall" });
  const filled = `${amount(order.filled_quantity)} of ${amount(order.quantity)}`;
  return [order.pair, side, order.type, number(order.price, 2), number(order.stop_price, 2), amount(order.quantity), filled];
}

function cancel(order) {
  const click = (event) =>
    attempt(event.currentTarget, async () => {
      const attributes = { "order.id": order.order_id };
      const path = `/api/v1/orders/${order.order_id}`;
      const { traceId } = await act("order", "cancel", attributes, "DELETE", path, undefined);
      notice("The order was cancelled.", told(traceId));
    });
  return element("button", { text: "Cancel", className: "quiet", on: { click } });
}

function tradeCells(trade) {
  const side = element("span", { text: trade.side, className: trade.side === "LONG" ? "rise" : "fall" });
  const profit = element("span", { text: number(trade.profit, 2), className: trade.profit < 0 ? "fall" : "rise" });
  const click = (event) =>
    attempt(event.currentTarget, async () => {
      const path = `/api/v1/cfd/trades/${trade.trade_id}`;
      const { reply, traceId } = await act("cfd", "close", { "cfd.id": trade.trade_id }, "DELETE", path, undefined, "trade_id");
      notice(`The position ended with ${number(reply.profit, 2)} USD.`, told(traceId));
    });
  const end = trade.status === "OPEN" ? element("button", { text: "Close", className: "quiet", on: { click } }) : trade.status;
  return [
    trade.asset, side, `${trade.leverage}×`, number(trade.margin, 2), number(trade.entry_price, 2), number(trade.price, 2),
    profit, number(trade.stop_loss, 2), number(trade.take_profit, 2), end,
  ];
}

function list(id, empty, headings, rows) {
  // What the user is about to press must not be replaced under the finger.
  if ($(id).contains(document.activeElement)) return;
  if (!rows.length) {
    $(id).replaceChildren(element("p", { className: "note", text: empty }));
    return;
  }
  const head = element("tr", {}, ...headings.map((text) => element("th", { text })));
  $(id).replaceChildren(
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows.map((cells) => row(cells)))),
  );
}

export const told = (traceId) => ({ traceId, traceUrl: shown.config?.trace_url });

// Fields of a form as they were sent; the form waits meanwhile, and says what went wrong.
export function onSubmit(id, send) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target, event.submitter));
    void attempt(event.submitter ?? event.target.querySelector("button"), () => send(fields, event.target));
  });
}

async function attempt(button, work) {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    notice(error.message, { bad: true, ...told(error.traceId) });
    if (!(error instanceof Refusal)) throw error;
  } finally {
    button.disabled = false;
    button.blur();
  }
  await refresh();
}
