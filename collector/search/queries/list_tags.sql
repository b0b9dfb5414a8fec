-- The keys of attributes of the newest spans, the most frequent first.
WITH newest AS MATERIALIZED (
    SELECT attributes, resource_attributes, scope_attributes, events, links
    FROM spans
    WHERE start_time >= make_timestamp_ns($from_ns::BIGINT)
      AND start_time < make_timestamp_ns($until_ns::BIGINT)
    ORDER BY start_time DESC
    LIMIT $most::BIGINT
),
keys AS (
    SELECT 'span' AS scope, unnest(variant_keys(attributes)) AS "key"
    FROM newest WHERE list_contains($scopes::VARCHAR[], 'span')
    UNION ALL
    SELECT 'resource', unnest(variant_keys(resource_attributes))
    FROM newest WHERE list_contains($scopes::VARCHAR[], 'resource')
    UNION ALL
    SELECT 'instrumentation', unnest(variant_keys(scope_attributes))
    FROM newest WHERE list_contains($scopes::VARCHAR[], 'instrumentation')
    UNION ALL
    SELECT 'event', unnest(variant_keys(e.attributes))
    FROM (SELECT unnest(events) AS e FROM newest WHERE list_contains($scopes::VARCHAR[], 'event'))
    UNION ALL
    SELECT 'link', unnest(variant_keys(l.attributes))
    FROM (SELECT unnest(links) AS l FROM newest WHERE list_contains($scopes::VARCHAR[], 'link'))
)
SELECT scope, "key", count(*) AS span_count
FROM keys
WHERE "key" IS NOT NULL
GROUP BY ALL
ORDER BY scope, span_count DESC, "key"
