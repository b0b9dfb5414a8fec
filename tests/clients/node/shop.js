// The shop for Node.js, as README's line starts it: express, fetch and pino, and telemetry of its own. The last
// line is what it recorded by itself, as JSON.
const { metrics, SpanKind, SpanStatusCode, trace } = require('@opentelemetry/api');
const express = require('express');
const pino = require('pino');

const ORDERS = 6;
const UNLUCKY = 5;
const log = pino(pino.destination(2));
const tracer = trace.getTracer('shop.lib', '1.2', { schemaUrl: 'https://example.com/schema' });
const meter = metrics.getMeter('shop.lib', '1.2', { schemaUrl: 'https://example.com/schema' });
const orders = meter.createCounter('shop.orders', { unit: '{order}', description: 'Orders taken.' });
const value = meter.createHistogram('shop.order.value', {
  unit: 'EUR',
  advice: { explicitBucketBoundaries: [10, 100] },
});
meter.createObservableGauge('shop.open').addCallback((result) => result.observe(0.5, { desk: 'a' }));
const recorded = [];
const app = express();
let address;

app.get('/pay/:order', async (request, response) => {
  const order = Number(request.params.order);
  const basket = { traceId: '00000000000000000000000000000abc', spanId: '0000000000000def', traceFlags: 0 };
  await tracer.startActiveSpan(
    'reserve',
    {
      kind: SpanKind.PRODUCER,
      attributes: { order, express: order % 2 === 0, weight: 0.5, tags: ['a', 'b'], note: '' },
      links: [{ context: basket, attributes: { why: 'basket' } }],
    },
    async (span) => {
      span.addEvent('picked', { shelf: 7 });
      log.info({ order }, `paying ${order}`);
      orders.add(1, { express: order % 2 === 0 });
      value.record(order * 10);
      recorded.push({ order, trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId });
      await (await fetch(`${address}/stock/${order}`)).text();
      if (order === UNLUCKY) {
        log.error(`no luck with ${order}`);
        span.recordException(new Error('unlucky'));
        span.setStatus({ code: SpanStatusCode.ERROR, message: 'unlucky' });
        response.status(500);
      }
      span.end();
    },
  );
  response.json({ order });
});
app.get('/stock/:item', (request, response) => {
  log.warn(`stock of ${request.params.item} is low`);
  response.json({ item: Number(request.params.item) });
});

const server = app.listen(0, '127.0.0.1', async () => {
  const { port } = server.address();
  address = `http://127.0.0.1:${port}`;
  const statuses = [];
  for (let order = 1; order <= ORDERS; order += 1) {
    const answer = await fetch(`${address}/pay/${order}`);
    await answer.text();
    statuses.push(answer.status);
  }
  console.log(JSON.stringify({ port, recorded, statuses }));
  server.close();
});
