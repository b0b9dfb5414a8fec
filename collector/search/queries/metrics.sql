-- Figures of the spans that fit, for each step and key. All parts are made of constant words and parameters.
SELECT
    ((epoch_ns(start_time) - $origin_ns::BIGINT) // $step_ns::BIGINT + 1) * $step_ns::BIGINT + $origin_ns::BIGINT AS end_ns
    {names},
    {shown}
FROM (
    SELECT start_time, {figure} AS figure {keys}
    FROM spans
    WHERE start_time >= make_timestamp_ns($from_ns::BIGINT)
      AND start_time < make_timestamp_ns($until_ns::BIGINT)
      AND {condition}
)
GROUP BY ALL
ORDER BY ALL
