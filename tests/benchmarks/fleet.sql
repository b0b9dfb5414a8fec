-- One landing batch of a fleet: traces $first to $last, ten spans each, 50 entry routes, so 500 operations of
-- 50 services. Every value is a function of the trace's number, so a run can be repeated, but no value
-- repeats because the generator does: ids are 128 and 64 random bits, durations log-normal, users, hosts,
-- routes and objects drawn with the skew they have in practice (few very common, a long tail).
INSERT INTO spans_recent BY NAME
WITH trace AS (
    SELECT
        n,
        md5('trace' || n) AS trace_id,
        1_790_000_000_000_000_000 + n * 72_000_000 + (u(n, 1) * 72e6)::BIGINT AS start_ns, -- 50,000 an hour
        (50 * u(n, 2) ** 2.5)::BIGINT % 50 AS route,
        'user-' || (200_000 * u(n, 3) ** 2)::BIGINT AS user_id,
        (5_000_000 * u(n, 4))::BIGINT AS object_id,
        u(n, 5) < 0.01 AS fails,
        exp(0.6 * normal(n, 6)) AS slowness -- of the whole trace
    FROM (SELECT unnest(range($first, $last)) AS n)
),
span AS (
    SELECT
        *,
        ['SERVER', 'CLIENT', 'SERVER', 'CLIENT', 'CLIENT', 'SERVER', 'CLIENT', 'CLIENT', 'PRODUCER', 'INTERNAL'][p + 1]
            AS kind,
        (route * 7 + [0, 0, 1, 1, 1, 2, 0, 2, 2, 3][p + 1] * 13) % 50 AS service,
        left(md5('span' || n || '.' || p), 16) AS span_id,
        [-1, 0, 1, 2, 2, 4, 0, 5, 5, 8][p + 1] AS parent,
        start_ns + ([0, 1, 2, 3, 6, 7, 4, 9, 12, 13][p + 1] * 400_000 * slowness * (0.8 + 0.4 * u(n, 20 + p)))::BIGINT
            AS span_start_ns,
        ([30, 18, 15, 3, 9, 7, 0.6, 2.5, 0.4, 1.5][p + 1] * (1 + route % 7) * 1e6 * slowness
            * exp(0.35 * normal(n, 40 + p)))::BIGINT AS duration_ns,
        fails AND p IN (0, 1, 2, 3) AS failed,
        (3 * u(n, 60 + p))::BIGINT % 3 AS instance,
        ['GET', 'POST', 'PUT', 'DELETE'][1 + (route + p) % 4] AS method,
        ['orders', 'carts', 'users', 'quotes', 'items'][1 + (route + p) % 5] AS noun
    FROM trace, (SELECT unnest(range(10)) AS p)
)
SELECT
    $batch_id::BIGINT AS batch_id,
    trace_id,
    span_id,
    CASE WHEN parent >= 0 THEN left(md5('span' || n || '.' || parent), 16) END AS parent_span_id,
    '' AS trace_state,
    257 AS flags,
    format('{}-service-{:02d}', noun_of_service(service), service) AS service_name,
    CASE
        WHEN p IN (0, 2, 5) THEN format('{} /api/v1/{}/{{id}}/r{}', method, noun, route * 10 + p)
        WHEN p IN (1, 4) THEN format('{} r{}', method, route * 10 + p)
        WHEN p IN (3, 7) THEN format('SELECT {}_{}', noun, route * 10 + p)
        WHEN p = 6 THEN format('GET session_{}', route)
        WHEN p = 8 THEN format('send {}.events.{}', noun, route)
        ELSE format('handle {}.{}', noun, route)
    END AS span_name,
    kind AS span_kind,
    make_timestamp_ns(span_start_ns) AS start_time,
    duration_ns,
    CASE WHEN failed THEN 'ERROR' ELSE 'UNSET' END AS status_code,
    CASE WHEN failed THEN 'upstream timed out' ELSE '' END AS status_message,
    CASE
        WHEN p IN (0, 2, 5) THEN {
            'http.request.method': method,
            'http.route': format('/api/v1/{}/{{id}}/r{}', noun, route * 10 + p),
            'url.path': format('/api/v1/{}/{}/r{}', noun, object_id, route * 10 + p),
            'http.response.status_code': CASE WHEN failed THEN 504 WHEN u(n, 80 + p) < 0.02 THEN 404 ELSE 200 END::BIGINT,
            'client.address': '10.' || (u(n, 100) * 4)::BIGINT || '.' || (u(n, 101) ** 2 * 250)::BIGINT || '.' || (u(n, 102) * 250)::BIGINT,
            'user_agent.original': 'Mozilla/5.0 (X11; Linux x86_64) Release/' || (40 * u(n, 103) ** 3)::BIGINT,
            'network.protocol.version': '1.1',
            'server.port': 8080::BIGINT,
            'user.id': user_id
        }::VARIANT
        WHEN p IN (1, 4) THEN {
            'http.request.method': method,
            'url.full': format('http://{}-{:02d}:8080/api/v1/{}/{}', noun, service, noun, object_id),
            'server.address': format('{}-{:02d}.internal', noun, service),
            'server.port': 8080::BIGINT,
            'http.response.status_code': CASE WHEN failed THEN 504 ELSE 200 END::BIGINT,
            'network.peer.address': '10.9.' || instance || '.' || service,
            'network.peer.port': (30_000 + u(n, 120 + p) * 30_000)::BIGINT,
            'http.request.body.size': (200 * exp(normal(n, 140 + p)))::BIGINT,
            'thread.id': (200 * u(n, 160 + p))::BIGINT
        }::VARIANT
        WHEN p IN (3, 7) THEN {
            'db.system.name': 'postgresql',
            'db.namespace': format('{}_production', noun),
            'db.operation.name': 'SELECT',
            'db.collection.name': noun,
            'db.query.text': format('SELECT id, state, updated_at FROM {} WHERE id = $1 AND tenant = $2 /* {} */', noun, route * 10 + p),
            'db.operation.parameter.1': object_id::BIGINT,
            'db.response.returned_rows': (20 * u(n, 180 + p) ** 4)::BIGINT,
            'db.client.connection.wait_ms': round(exp(normal(n, 200 + p)), 3),
            'server.address': format('pg-{}.internal', service % 8)
        }::VARIANT
        WHEN p = 6 THEN {
            'db.system.name': 'redis',
            'db.operation.name': 'GET',
            'db.query.text': 'GET session:' || user_id,
            'cache.hit': u(n, 220) < 0.9,
            'server.address': format('redis-{}.internal', service % 4),
            'server.port': 6379::BIGINT,
            'network.peer.port': (30_000 + u(n, 221) * 30_000)::BIGINT,
            'thread.id': (200 * u(n, 222))::BIGINT
        }::VARIANT
        WHEN p = 8 THEN {
            'messaging.system': 'kafka',
            'messaging.destination.name': format('{}.events', noun),
            'messaging.operation.type': 'send',
            'messaging.destination.partition.id': ((n + route) % 24)::VARCHAR,
            'messaging.kafka.offset': (1_000_000_000 + n // 24)::BIGINT,
            'messaging.kafka.message.key': object_id::VARCHAR,
            'messaging.message.body.size': (900 * exp(0.5 * normal(n, 240)))::BIGINT,
            'messaging.client.id': format('producer-{}', instance),
            'thread.id': (200 * u(n, 241))::BIGINT
        }::VARIANT
        ELSE {
            'code.function.name': format('com.example.{}.Handler{}.handle', noun, route),
            'code.line.number': (100 + route)::BIGINT,
            'thread.id': (200 * u(n, 260))::BIGINT,
            'thread.name': format('worker-{}', (16 * u(n, 261))::BIGINT),
            'order.amount': round(40 * exp(1.2 * normal(n, 262)), 2),
            'order.currency': ['EUR', 'USD', 'GBP', 'JPY'][1 + (4 * u(n, 263) ** 3)::BIGINT % 4],
            'order.priority': u(n, 264) < 0.05,
            'user.id': user_id,
            'retry.count': (3 * u(n, 265) ** 8)::BIGINT
        }::VARIANT
    END AS attributes,
    0 AS dropped_attributes_count,
    CASE WHEN failed THEN [{
        'time': make_timestamp_ns(span_start_ns + duration_ns),
        'name': 'exception',
        'attributes': {
            'exception.type': 'UpstreamTimeout',
            'exception.message': format('no answer for object {} within {} ms', object_id, duration_ns // 1_000_000),
            'exception.stacktrace': repeat('  at com.example.Handler.call(Handler.java:42)' || chr(10), 12)
        }::VARIANT,
        'dropped_attributes_count': 0
    }] ELSE [] END AS events,
    0 AS dropped_events_count,
    [] AS links,
    0 AS dropped_links_count,
    {
        'service.name': format('{}-service-{:02d}', noun_of_service(service), service),
        'service.version': format('1.{}.{}', service, route % 3),
        'service.instance.id': md5(service || '.' || instance),
        'k8s.pod.name': format('{}-{}-{}', noun_of_service(service), service, left(md5(instance || 'pod' || service), 10)),
        'host.name': format('node-{}', (service * 3 + instance) % 20),
        'telemetry.sdk.language': 'java',
        'telemetry.sdk.name': 'opentelemetry',
        'telemetry.sdk.version': '1.45.0'
    }::VARIANT AS resource_attributes,
    0 AS resource_dropped_attributes_count,
    'https://opentelemetry.io/schemas/1.38.0' AS resource_schema_url,
    ['http-server', 'http-client', 'jdbc', 'kafka'][1 + p % 4] AS scope_name,
    '2.9.0' AS scope_version,
    NULL AS scope_attributes,
    0 AS scope_dropped_attributes_count,
    '' AS scope_schema_url
FROM span
ORDER BY span_start_ns // 5_000_000_000, service_name, instance, span_start_ns -- an exporter sends every 5 s
