INSERT OR REPLACE INTO price_distances
SELECT
    service_name, operation, span_kind, order_pair, direction, buckets, counts,
    make_timestamp_ns($now) AS updated_at
FROM changed_distances
