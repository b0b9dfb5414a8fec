// The shop for Go: net/http, slog, and exporters that take nothing but the environment, over gRPC with the argument
// "grpc", else over HTTP. The last line is what it recorded by itself, as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	orders  = 6
	unlucky = 5
	schema  = "https://example.com/schema"
)

type recorded struct {
	Order   int    `json:"order"`
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func start(ctx context.Context, grpc bool) (*sdktrace.TracerProvider, *sdkmetric.MeterProvider, *sdklog.LoggerProvider) {
	var spans sdktrace.SpanExporter
	var points sdkmetric.Exporter
	var records sdklog.Exporter
	if grpc {
		spans = must(otlptracegrpc.New(ctx))
		points = must(otlpmetricgrpc.New(ctx))
		records = must(otlploggrpc.New(ctx))
	} else {
		spans = must(otlptracehttp.New(ctx))
		points = must(otlpmetrichttp.New(ctx))
		records = must(otlploghttp.New(ctx))
	}
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points))),
		sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(records)))
}

func main() {
	ctx := context.Background()
	tracers, meters, loggers := start(ctx, len(os.Args) > 1 && os.Args[1] == "grpc")
	otel.SetTracerProvider(tracers)
	otel.SetMeterProvider(meters)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	tracer := tracers.Tracer("shop.lib", trace.WithInstrumentationVersion("1.2"), trace.WithSchemaURL(schema))
	meter := meters.Meter("shop.lib", metric.WithInstrumentationVersion("1.2"), metric.WithSchemaURL(schema))
	logger := loggers.Logger("shop")
	say := func(ctx context.Context, severity otellog.Severity, text, body string, order int) {
		var record otellog.Record
		record.SetSeverity(severity)
		record.SetSeverityText(text)
		record.SetBody(attribute.StringValue(body))
		if severity == otellog.SeverityInfo {
			record.AddAttributes(attribute.Int("order", order))
		}
		logger.Emit(ctx, record)
	}
	taken := must(meter.Int64Counter("shop.orders", metric.WithUnit("{order}"), metric.WithDescription("Orders taken.")))
	value := must(meter.Float64Histogram("shop.order.value", metric.WithUnit("EUR"), metric.WithExplicitBucketBoundaries(10, 100)))
	must(meter.Float64ObservableGauge("shop.open", metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
		o.Observe(0.5, metric.WithAttributes(attribute.String("desk", "a")))
		return nil
	})))
	client := http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	port := listener.Addr().(*net.TCPAddr).Port
	get := func(ctx context.Context, path string) int {
		request := must(http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil))
		answer := must(client.Do(request))
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	var told []recorded
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pay/{order}", func(w http.ResponseWriter, r *http.Request) {
		order := must(strconv.Atoi(r.PathValue("order")))
		basket := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: must(trace.TraceIDFromHex("00000000000000000000000000000abc")),
			SpanID:  must(trace.SpanIDFromHex("0000000000000def")),
		})
		ctx, span := tracer.Start(r.Context(), "reserve", trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithAttributes(attribute.Int("order", order), attribute.Bool("express", order%2 == 0),
				attribute.Float64("weight", 0.5), attribute.StringSlice("tags", []string{"a", "b"}), attribute.String("note", "")),
			trace.WithLinks(trace.Link{SpanContext: basket, Attributes: []attribute.KeyValue{attribute.String("why", "basket")}}))
		defer span.End()
		span.AddEvent("picked", trace.WithAttributes(attribute.Int("shelf", 7)))
		say(ctx, otellog.SeverityInfo, "INFO", fmt.Sprintf("paying %d", order), order)
		taken.Add(ctx, 1, metric.WithAttributes(attribute.Bool("express", order%2 == 0)))
		value.Record(ctx, float64(order)*10)
		told = append(told, recorded{order, span.SpanContext().TraceID().String(), span.SpanContext().SpanID().String()})
		get(ctx, fmt.Sprintf("/stock/%d", order))
		if order == unlucky {
			say(ctx, otellog.SeverityError, "ERROR", fmt.Sprintf("no luck with %d", order), order)
			span.RecordError(errors.New("unlucky"))
			span.SetStatus(codes.Error, "unlucky")
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /stock/{item}", func(_ http.ResponseWriter, r *http.Request) {
		say(r.Context(), otellog.SeverityWarn, "WARN", fmt.Sprintf("stock of %s is low", r.PathValue("item")), 0)
	})
	go func() { _ = http.Serve(listener, otelhttp.NewHandler(mux, "shop")) }()
	_, shapes := tracer.Start(ctx, "shapes", trace.WithAttributes(
		attribute.ByteSlice("bytes", []byte{0, 255}),
		attribute.Map("map", attribute.Int("n", 1), attribute.Slice("mixed", attribute.IntValue(1), attribute.StringValue("a")))))
	shapes.End()
	var statuses []int
	for order := 1; order <= orders; order++ {
		statuses = append(statuses, get(ctx, fmt.Sprintf("/pay/%d", order)))
	}
	if err := errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx), loggers.Shutdown(ctx)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(must(json.Marshal(map[string]any{"port": port, "recorded": told, "statuses": statuses}))))
}
