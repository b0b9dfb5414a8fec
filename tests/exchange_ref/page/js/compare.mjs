// Records one trace with the page's module and with the web SDK, with the same ids and times; prints both requests.
import { SpanKind, context, trace } from "@opentelemetry/api";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { WebTracerProvider } from "@opentelemetry/sdk-trace-web";
import { Kind, Tracer, encode } from "./tracing.mjs";

const RESOURCE = { "service.name": "kx-wallet", "service.version": "0.1.0" };
const SCOPE = { name: "kx-wallet-page", version: "0.1.0" };
const START = 1_800_000_000_000_000_000n;

// 1, 2, 3, … as ids of so many bytes.
function counted(bytes) {
  let made = 0;
  return () => (++made).toString(16).padStart(2 * bytes, "0");
}

const nano = (step) => START + BigInt(step) * 1_234_567n;
const time = (step) => [Number(nano(step) / 1_000_000_000n), Number(nano(step) % 1_000_000_000n)];
const ATTRIBUTES = { "order.pair": "BTC/USD", "order.quantity": 0.5, "order.price": 42000, yes: true, texts: ["a", "b"], gone: undefined };
const HTTP = { "http.request.method": "POST", "server.port": 8000 };
const FAILURE = Object.assign(new TypeError("Failed to fetch"), { stack: "TypeError: Failed to fetch" });

function page() {
  const ended = [];
  const ids = { 16: counted(16), 8: counted(8) };
  let step = 0;
  const tracer = new Tracer((span) => ended.push(span), { now: () => nano(step++), id: (bytes) => ids[bytes]() });
  const root = tracer.start("order.submit.client", { attributes: ATTRIBUTES });
  const post = tracer.start("POST", { parent: root, kind: Kind.CLIENT, attributes: HTTP });
  post.exception(FAILURE);
  post.finish();
  const received = tracer.start("order.response.received", { parent: root });
  received.finish();
  root.set({ "order.status": "REJECTED" }).fail("no_answer");
  root.finish();
  root.finish();
  return encode(ended, RESOURCE, SCOPE);
}

function sdk() {
  const ended = [];
  const provider = new WebTracerProvider({
    resource: resourceFromAttributes(RESOURCE),
    idGenerator: { generateTraceId: counted(16), generateSpanId: counted(8) },
    spanProcessors: [{ onStart() {}, onEnd: (span) => ended.push(span), forceFlush: async () => {}, shutdown: async () => {} }],
  });
  const tracer = provider.getTracer(SCOPE.name, SCOPE.version);
  const root = tracer.startSpan("order.submit.client", { attributes: ATTRIBUTES, startTime: time(0) }, context.active());
  const below = trace.setSpan(context.active(), root);
  const post = tracer.startSpan("POST", { kind: SpanKind.CLIENT, attributes: HTTP, startTime: time(1) }, below);
  post.recordException(FAILURE, time(2));
  post.setAttribute("error.type", FAILURE.name);
  post.setStatus({ code: 2, message: FAILURE.message });
  post.end(time(3));
  const received = tracer.startSpan("order.response.received", { startTime: time(4) }, below);
  received.end(time(5));
  root.setAttribute("order.status", "REJECTED");
  root.setAttribute("error.type", "no_answer");
  root.setStatus({ code: 2 });
  root.end(time(6));
  return JSON.parse(new TextDecoder().decode(JsonTraceSerializer.serializeRequest(ended)));
}

console.log(JSON.stringify({ page: page(), sdk: sdk() }));
