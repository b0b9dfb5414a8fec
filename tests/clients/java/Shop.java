// The shop for Java, as README's line starts it: the JDK's HTTP server, client and logging, and telemetry of its
// own. The last line is what it recorded by itself, as JSON.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Scope;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Logger;

public class Shop {
  static final int ORDERS = 6;
  static final int UNLUCKY = 5;
  static final Logger LOG = Logger.getLogger("shop");
  static final HttpClient CLIENT = HttpClient.newHttpClient();
  static final Tracer TRACER =
      GlobalOpenTelemetry.get()
          .tracerBuilder("shop.lib")
          .setInstrumentationVersion("1.2")
          .setSchemaUrl("https://example.com/schema")
          .build();
  static final Meter METER =
      GlobalOpenTelemetry.get()
          .meterBuilder("shop.lib")
          .setInstrumentationVersion("1.2")
          .setSchemaUrl("https://example.com/schema")
          .build();
  static final LongCounter TAKEN =
      METER.counterBuilder("shop.orders").setUnit("{order}").setDescription("Orders taken.").build();
  static final DoubleHistogram VALUE =
      METER
          .histogramBuilder("shop.order.value")
          .setUnit("EUR")
          .setExplicitBucketBoundariesAdvice(List.of(10.0, 100.0))
          .build();
  static final AttributeKey<Boolean> EXPRESS = AttributeKey.booleanKey("express");
  static final List<String> RECORDED = new ArrayList<>();
  static String address;

  static HttpResponse<String> get(String path) throws IOException, InterruptedException {
    HttpRequest request = HttpRequest.newBuilder(URI.create(address + path)).build();
    return CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
  }

  static void answer(HttpExchange exchange, int status) throws IOException {
    byte[] body = "{}".getBytes();
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  static int numberOf(HttpExchange exchange) {
    String path = exchange.getRequestURI().getPath();
    return Integer.parseInt(path.substring(path.lastIndexOf('/') + 1));
  }

  static void pay(HttpExchange exchange) throws IOException {
    int order = numberOf(exchange);
    Attributes express = Attributes.of(EXPRESS, order % 2 == 0);
    SpanContext basket =
        SpanContext.create(
            "00000000000000000000000000000abc", "0000000000000def", TraceFlags.getDefault(), TraceState.getDefault());
    Span span =
        TRACER
            .spanBuilder("reserve")
            .setSpanKind(SpanKind.PRODUCER)
            .setAttribute("order", (long) order)
            .setAttribute("express", order % 2 == 0)
            .setAttribute("weight", 0.5)
            .setAttribute(AttributeKey.stringArrayKey("tags"), List.of("a", "b"))
            .setAttribute("note", "")
            .addLink(basket, Attributes.of(AttributeKey.stringKey("why"), "basket"))
            .startSpan();
    int status = 200;
    try (Scope scope = span.makeCurrent()) {
      span.addEvent("picked", Attributes.of(AttributeKey.longKey("shelf"), 7L));
      LOG.info("paying " + order);
      TAKEN.add(1, express);
      VALUE.record(order * 10.0);
      SpanContext own = span.getSpanContext();
      RECORDED.add(
          String.format(
              "{\"order\": %d, \"trace_id\": \"%s\", \"span_id\": \"%s\"}", order, own.getTraceId(), own.getSpanId()));
      get("/stock/" + order);
      if (order == UNLUCKY) {
        LOG.severe("no luck with " + order);
        span.recordException(new IllegalStateException("unlucky"));
        span.setStatus(StatusCode.ERROR, "unlucky");
        status = 500;
      }
    } catch (InterruptedException error) {
      throw new IOException(error);
    } finally {
      span.end();
    }
    answer(exchange, status);
  }

  static void stock(HttpExchange exchange) throws IOException {
    LOG.warning("stock of " + numberOf(exchange) + " is low");
    answer(exchange, 200);
  }

  public static void main(String[] arguments) throws Exception {
    METER
        .gaugeBuilder("shop.open")
        .buildWithCallback(result -> result.record(0.5, Attributes.of(AttributeKey.stringKey("desk"), "a")));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(4));
    server.createContext("/pay", Shop::pay);
    server.createContext("/stock", Shop::stock);
    server.start();
    int port = server.getAddress().getPort();
    address = "http://127.0.0.1:" + port;
    List<Integer> statuses = new ArrayList<>();
    for (int order = 1; order <= ORDERS; order++) {
      statuses.add(get("/pay/" + order).statusCode());
    }
    System.out.printf("{\"port\": %d, \"recorded\": %s, \"statuses\": %s}%n", port, RECORDED, statuses);
    System.exit(0);
  }
}
