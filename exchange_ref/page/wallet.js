// kx-wallet in a browser: requests to the gateway, each a CLIENT span below what the user did.
import { Exporter, Kind, Tracer, randomHex } from "./tracing.js";

const VERSION = "0.1.0";
const REFRESH_KEY = "kx.refresh";

const exporter = new Exporter(
  "/v1/traces",
  {
    "service.name": "kx-wallet",
    "service.namespace": "kx",
    "service.version": VERSION,
    "service.instance.id": randomHex(16),
    "telemetry.sdk.name": "kx-wallet-page",
    "telemetry.sdk.language": "webjs",
    "telemetry.sdk.version": VERSION,
    "user_agent.original": navigator.userAgent,
    "browser.language": navigator.language,
  },
  { name: "kx-wallet-page", version: VERSION },
);
export const tracer = new Tracer((span) => exporter.add(span));
addEventListener("pagehide", () => {
  tracer.close();
  exporter.leave();
});
addEventListener("visibilitychange", () => document.visibilityState === "hidden" && exporter.leave());

let access = "";
let refreshing;
export const user = { id: "", email: "", address: "" };

export class Refusal extends Error {
  constructor(status, error) {
    super(error.message);
    Object.assign(this, { status, code: error.code, name: "Refusal" });
  }
}

// One request and its answer. A token that has expired is renewed once.
export async function ask(method, path, body, parent) {
  let answer = await send(method, path, body, parent);
  if (answer.status === 401 && access && sessionStorage.getItem(REFRESH_KEY)) {
    await renew(parent);
    answer = await send(method, path, body, parent);
  }
  if (answer.status >= 400) throw new Refusal(answer.status, answer.reply.error);
  return answer.reply;
}

async function send(method, path, body, parent) {
  const url = new URL(path, location.origin);
  const span = tracer.start(method, {
    parent,
    kind: Kind.CLIENT,
    attributes: {
      "http.request.method": method,
      "url.full": url.href,
      "server.address": url.hostname,
      "server.port": Number(url.port) || (url.protocol === "https:" ? 443 : 80),
    },
  });
  const headers = { traceparent: span.traceparent, "content-type": "application/json" };
  if (access) headers.authorization = `Bearer ${access}`;
  try {
    const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    span.set({ "http.response.status_code": response.status });
    if (response.status >= 400) span.fail(String(response.status));
    return { status: response.status, reply: await response.json() };
  } catch (error) {
    span.exception(error);
    throw new Refusal(0, { code: "no_answer", message: `no answer from the exchange: ${error.message}` });
  } finally {
    span.finish();
  }
}

// What the user did, from the click to the answer: the root of a trace.
export async function act(subject, verb, attributes, method, path, body, idField = `${subject}_id`) {
  const who = user.id ? { "user.id": user.id } : {};
  const root = tracer.start(`${subject}.${verb}.client`, { attributes: { ...attributes, ...who } });
  const received = verb === "submit" ? `${subject}.response.received` : `${subject}.${verb}.received`;
  try {
    const reply = await ask(method, path, body, root);
    const told = { [`${subject}.id`]: reply[idField], [`${subject}.status`]: reply.status };
    if (subject === "order") told["order.fill_price"] = reply.fill_price;
    tracer.start(received, { parent: root, attributes: told }).finish();
    root.set(told);
    return { reply, traceId: root.traceId };
  } catch (error) {
    if (error.status) tracer.start(received, { parent: root, attributes: { [`${subject}.status`]: "REJECTED" } }).finish();
    root.set({ [`${subject}.status`]: "REJECTED" }).fail(error.code ?? error.name, error.message);
    error.traceId = root.traceId;
    throw error;
  } finally {
    root.finish();
  }
}

// Several reads as one trace.
export async function look(name, reads) {
  const root = tracer.start(name, { attributes: user.id ? { "user.id": user.id } : {} });
  try {
    return await Promise.all(reads.map((path) => ask("GET", path, undefined, root)));
  } catch (error) {
    root.fail(error.code ?? error.name, error.message);
    throw error;
  } finally {
    root.finish();
  }
}

export async function login(credentials) {
  const { reply } = await act("login", "submit", {}, "POST", "/api/v1/auth/login", credentials);
  await keep(reply);
}

export async function logout() {
  await act("logout", "submit", {}, "POST", "/api/v1/auth/logout").catch(() => {});
  forget();
}

// Whether a session of before goes on.
export async function resume() {
  if (!sessionStorage.getItem(REFRESH_KEY)) return false;
  const root = tracer.start("session.resume.client");
  try {
    await renew(root);
    return true;
  } catch {
    return false;
  } finally {
    root.finish();
  }
}

function renew(parent) {
  // Several requests may find the token expired; a refresh token works once.
  refreshing ??= (async () => {
    const refresh_token = sessionStorage.getItem(REFRESH_KEY);
    access = "";
    const { status, reply } = await send("POST", "/api/v1/auth/refresh", { refresh_token }, parent);
    if (status >= 400) {
      if (status === 401) forget();
      throw new Refusal(status, reply.error);
    }
    await keep(reply);
  })().finally(() => (refreshing = undefined));
  return refreshing;
}

async function keep(tokens) {
  access = tokens.access_token;
  sessionStorage.setItem(REFRESH_KEY, tokens.refresh_token);
  if (user.id) return;
  const [me] = await look("account.load.client", ["/api/v1/auth/me"]);
  Object.assign(user, { id: me.user_id, email: me.email, address: me.address });
}

function forget() {
  access = "";
  sessionStorage.removeItem(REFRESH_KEY);
  Object.assign(user, { id: "", email: "", address: "" });
  dispatchEvent(new Event("kx-logged-out"));
}
