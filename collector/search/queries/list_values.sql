-- The values of a field among the newest spans that have it. {value} and {condition} are made of constant words and
-- parameters.
SELECT "value", count(*) AS span_count
FROM (
    SELECT {value} AS "value"
    FROM spans
    WHERE start_time >= make_timestamp_ns($from_ns::BIGINT)
      AND start_time < make_timestamp_ns($until_ns::BIGINT)
      AND {condition}
    ORDER BY start_time DESC
    LIMIT $most::BIGINT
)
WHERE "value" IS NOT NULL
GROUP BY "value"
ORDER BY span_count DESC, "value"
