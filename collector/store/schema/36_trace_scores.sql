-- The score of each settled trace: one calibrated sigma over all tests of its spans
-- (detectors/scoring/trace_score.py). It raises no alarm and does not depend on the number of traces. A trace is scored
-- again after a late span. Scores below 3 sigma are kept for a week.
CREATE TABLE IF NOT EXISTS trace_scores (
    trace_id      VARCHAR NOT NULL,      -- one row; without an index, which would hold every id in memory
    start_time    TIMESTAMP_NS NOT NULL, -- of its earliest span, UTC
    anomaly_sigma DOUBLE  NOT NULL,      -- anomalous from 3 on: 0.135% of ordinary traces
    times_sigma   DOUBLE  NOT NULL,      -- of durations, self times and times between services alone
    forms_sigma   DOUBLE  NOT NULL,      -- of calls and status alone
    span_id       VARCHAR NOT NULL,      -- the least usual span …
    service_name  VARCHAR NOT NULL,
    operation     VARCHAR NOT NULL,      -- span_name
    reason        VARCHAR NOT NULL,      -- … and what is unusual of it
    span_count    BIGINT  NOT NULL,      -- that had landed when it was scored
    scored_at     TIMESTAMP_NS NOT NULL
);
