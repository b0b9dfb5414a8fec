// Sends one trace with the JavaScript SDK to the OTLP/HTTP endpoint argv[2], as argv[3] ("json" or "proto"),
// then prints, as JSON, what the application recorded.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';

const [url, format] = process.argv.slice(2);
const Exporter = format === 'json' ? JsonExporter : ProtoExporter;
const kept = new InMemorySpanExporter();
const exporter = new Exporter({ url: `${url}/v1/traces` });
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'javascript-app', 'host.cpus': 2 }),
  spanProcessors: [new SimpleSpanProcessor(kept), new SimpleSpanProcessor(exporter)],
});
const tracer = provider.getTracer('lib', '1.2');

const linked = {
  traceId: '0123456789abcdef0123456789abcdef',
  spanId: 'fedcba9876543210',
  traceFlags: 1,
};
const root = tracer.startSpan(
  'root',
  {
    kind: SpanKind.SERVER,
    attributes: {
      text: 'Wal 🐋',
      empty: '',
      yes: true,
      no: false,
      zero: 0,
      large: Number.MAX_SAFE_INTEGER,
      negative: -7,
      half: 0.5,
      texts: ['a', 'b'],
      numbers: [1, 2, 3],
      fractions: [0.5, 1.25],
      flags: [true, false],
    },
    links: [{ context: linked, attributes: { why: 'batch', n: 3 } }],
  },
  ROOT_CONTEXT,
);
const inRoot = trace.setSpan(ROOT_CONTEXT, root);
root.addEvent('cache.miss', { key: 'k', size: 12 });
for (const name of ['INTERNAL', 'CLIENT', 'PRODUCER', 'CONSUMER']) {
  const child = tracer.startSpan(`kind-${name}`, { kind: SpanKind[name] }, inRoot);
  child.setStatus({ code: SpanStatusCode.OK });
  child.end();
}
const failing = tracer.startSpan('failing', {}, inRoot);
failing.recordException(new Error('boom'));
failing.setStatus({ code: SpanStatusCode.ERROR, message: 'boom' });
failing.end();
root.end();
await provider.forceFlush();

const nanos = ([seconds, rest]) => (BigInt(seconds) * 1_000_000_000n + BigInt(rest)).toString();
const recorded = kept.getFinishedSpans().map((span) => ({
  name: span.name,
  trace_id: span.spanContext().traceId,
  span_id: span.spanContext().spanId,
  parent_span_id: span.parentSpanContext?.spanId ?? null,
  kind: SpanKind[span.kind],
  status: SpanStatusCode[span.status.code],
  status_message: span.status.message ?? '',
  start_ns: nanos(span.startTime),
  end_ns: nanos(span.endTime),
  attributes: span.attributes,
  events: span.events.map((event) => ({ name: event.name, ns: nanos(event.time), attributes: event.attributes })),
  links: span.links.map((link) => ({
    trace_id: link.context.traceId,
    span_id: link.context.spanId,
    attributes: link.attributes,
  })),
}));
console.log(JSON.stringify(recorded));
await provider.shutdown();
