// Spans of a browser, sent as OTLP/HTTP in JSON: what the OpenTelemetry web SDK would send, in a tenth of its size.
// Parents are passed, not found: every hop stands in the code that makes it.

export const Kind = { INTERNAL: 1, SERVER: 2, CLIENT: 3 };
const ERROR = 2;
const MAX_BATCH = 64;
const MAX_QUEUED = 512;
// Of what a browser sends while a page closes, 64 KiB may be under way.
const MAX_BYTES = 60_000;
const FLUSH_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;
const SAMPLED = 1;
// W3C's flags, and that it is known whether the parent is of another process: here it never is.
const FLAGS = 0x100 | SAMPLED;

export class Span {
  constructor(tracer, name, { parent, kind = Kind.INTERNAL, attributes = {} }) {
    this.tracer = tracer;
    this.name = name;
    this.kind = kind;
    this.traceId = parent ? parent.traceId : tracer.id(16);
    this.spanId = tracer.id(8);
    this.parentSpanId = parent?.spanId;
    this.attributes = { ...attributes };
    this.events = [];
    this.status = { code: 0 };
    this.start = tracer.now();
    this.end = undefined;
  }

  set(attributes) {
    if (this.end === undefined) Object.assign(this.attributes, attributes);
    return this;
  }

  fail(type, message = "") {
    this.set({ "error.type": type });
    this.status = message ? { code: ERROR, message } : { code: ERROR };
    return this;
  }

  exception(error) {
    this.events.push({
      name: "exception",
      time: this.tracer.now(),
      attributes: { "exception.type": error.name, "exception.message": error.message, "exception.stacktrace": error.stack },
    });
    return this.fail(error.name, error.message);
  }

  finish() {
    if (this.end !== undefined) return;
    this.end = this.tracer.now();
    this.tracer.ended(this);
  }

  get traceparent() {
    return `00-${this.traceId}-${this.spanId}-01`;
  }
}

export class Tracer {
  // `export_` takes a span that has ended; `now` gives nanoseconds since 1970 as a BigInt, `id` hex digits of n bytes.
  constructor(export_, { now = epochNanos, id = randomHex } = {}) {
    this.now = now;
    this.id = id;
    this.export = export_;
    this.open = new Set();
  }

  start(name, options = {}) {
    const span = new Span(this, name, options);
    this.open.add(span);
    return span;
  }

  ended(span) {
    this.open.delete(span);
    this.export(span);
  }

  // A page that goes takes its open spans with it, unless they end now.
  close() {
    for (const span of [...this.open].reverse()) span.set({ "browser.page_closed": true }).finish();
  }
}

export class Exporter {
  // `send` is fetch; `scope` is {name, version}; `resource` holds the attributes of the page.
  constructor(url, resource, scope, { send = (...sent) => fetch(...sent), later = (work, ms) => setTimeout(work, ms) } = {}) {
    Object.assign(this, { url, resource, scope, send, later });
    this.queue = [];
    this.dropped = 0;
    this.backoffMs = 0;
    this.timer = undefined;
    this.sending = false;
  }

  add(span) {
    if (this.queue.length >= MAX_QUEUED) {
      this.queue.shift();
      this.dropped += 1;
    }
    this.queue.push(span);
    if (this.queue.length >= MAX_BATCH && !this.backoffMs) void this.flush();
    else this.schedule();
  }

  schedule() {
    this.timer ??= this.later(() => void this.flush(), this.backoffMs || FLUSH_MS);
  }

  async flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.sending || !this.queue.length) return;
    this.sending = true;
    const batch = this.take();
    const again = await this.deliver(batch).then((status) => [429, 502, 503, 504].includes(status), () => true);
    this.sending = false;
    if (again) {
      this.queue.unshift(...batch);
      this.dropped += Math.max(0, this.queue.length - MAX_QUEUED);
      this.queue.splice(0, this.queue.length - MAX_QUEUED);
    }
    this.backoffMs = again ? Math.min(MAX_BACKOFF_MS, 2 * (this.backoffMs || FLUSH_MS)) : 0;
    if (this.queue.length) this.schedule();
  }

  // For a page that goes: nobody waits for the answer, and the browser sends it all the same.
  leave() {
    while (this.queue.length) this.deliver(this.take()).catch(() => {});
  }

  // The oldest spans that go in one request.
  take() {
    const batch = [];
    let bytes = 0;
    while (this.queue.length && batch.length < MAX_BATCH) {
      bytes += JSON.stringify(encodeSpan(this.queue[0])).length;
      if (batch.length && bytes > MAX_BYTES) break;
      batch.push(this.queue.shift());
    }
    return batch;
  }

  async deliver(spans) {
    const body = JSON.stringify(encode(spans, this.resource, this.scope));
    const headers = { "content-type": "application/json" };
    return (await this.send(this.url, { method: "POST", headers, body, keepalive: body.length < MAX_BYTES })).status;
  }
}

export function encode(spans, resource, scope) {
  return {
    resourceSpans: [
      {
        resource: { attributes: encodeAttributes(resource), droppedAttributesCount: 0 },
        scopeSpans: [{ scope, spans: spans.map(encodeSpan) }],
      },
    ],
  };
}

function encodeSpan(span) {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId ? { parentSpanId: span.parentSpanId } : {}),
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: String(span.start),
    endTimeUnixNano: String(span.end),
    attributes: encodeAttributes(span.attributes),
    droppedAttributesCount: 0,
    events: span.events.map((event) => ({
      attributes: encodeAttributes(event.attributes),
      name: event.name,
      timeUnixNano: String(event.time),
      droppedAttributesCount: 0,
    })),
    droppedEventsCount: 0,
    status: span.status,
    links: [],
    droppedLinksCount: 0,
    flags: FLAGS,
  };
}

function encodeAttributes(attributes) {
  return Object.entries(attributes)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => ({ key, value: encodeValue(value) }));
}

function encodeValue(value) {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") return Number.isInteger(value) ? { intValue: value } : { doubleValue: value };
  return { arrayValue: { values: value.map(encodeValue) } };
}

let originMs = performance.timeOrigin;

// The clock that never goes back, brought to the system's where the machine slept.
function epochNanos() {
  if (Math.abs(originMs + performance.now() - Date.now()) > 50) originMs = Date.now() - performance.now();
  const ms = originMs + performance.now();
  return BigInt(Math.trunc(ms)) * 1_000_000n + BigInt(Math.round((ms % 1) * 1e6));
}

export function randomHex(bytes) {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(drawn, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
