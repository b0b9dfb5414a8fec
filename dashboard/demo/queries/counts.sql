SELECT
    (SELECT count(*) FROM spans) AS spans,
    (SELECT count(DISTINCT trace_id) FROM spans) AS traces,
    (SELECT count(*) FROM anomalies) AS anomalies,
    (SELECT count(*) FROM anomalies WHERE detector = 'amount') AS whales,
    (SELECT count(*) FROM incidents) AS incidents,
    (SELECT count(*) FROM explanations) AS explanations
