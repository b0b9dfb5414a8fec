-- The baselines. A row of `baseline_sketches` is an addition: reading sums the counts, compaction merges rows.
CREATE TABLE IF NOT EXISTS baseline_sketches (
    measure      VARCHAR  NOT NULL,  -- duration, self_time, edge, message_wait (all ns) or amount (in the asset): what was sampled
    service_name VARCHAR  NOT NULL,
    operation    VARCHAR  NOT NULL,  -- span_name
    span_kind    VARCHAR  NOT NULL,  -- one name may be a client span here and a server span there
    facet        VARCHAR  NOT NULL,  -- 'order|BTC|BUY' for amounts, the called service for edges; else empty
    hour_of_week SMALLINT NOT NULL,  -- 0 = Monday 00:00 UTC … 167; coarser cells are sums of these
    flagged      BOOLEAN  NOT NULL,  -- true: samples kept out of the baseline, counted so that tails stay honest
    bucket       INTEGER  NOT NULL,  -- value is about 1.02^bucket (detectors/stats/sketch.py)
    sample_count BIGINT   NOT NULL
);
-- The position of each reader of landed spans, written in one transaction with the reader's results.
CREATE TABLE IF NOT EXISTS detector_positions (
    reader     VARCHAR PRIMARY KEY,  -- detect, learn
    batch_id   BIGINT       NOT NULL,  -- every span with batch_id <= this has been read exactly once
    updated_at TIMESTAMP_NS NOT NULL
);
-- The fitted durations, for people and SQL; detection fits from the same sketches.
CREATE TABLE IF NOT EXISTS baselines (
    service_name      VARCHAR NOT NULL,
    operation         VARCHAR NOT NULL,
    span_kind         VARCHAR NOT NULL,
    cell              VARCHAR NOT NULL,  -- operation, hour_of_day:13 or hour_of_week:037
    sample_count      BIGINT  NOT NULL,
    flagged_count     BIGINT  NOT NULL,  -- samples that were kept out
    p50_ns            DOUBLE  NOT NULL,
    p90_ns            DOUBLE  NOT NULL,
    p99_ns            DOUBLE  NOT NULL,
    p999_ns           DOUBLE  NOT NULL,
    sigma3_ns         DOUBLE  NOT NULL,  -- a span beyond this has probability 0.135%
    self_time_p50_ns  DOUBLE,            -- without what runs below it; NULL until traces have settled
    tail_threshold_ns DOUBLE  NOT NULL,  -- the fitted tail starts here
    tail_share        DOUBLE  NOT NULL,  -- probability of exceeding the threshold
    tail_shape        DOUBLE  NOT NULL,  -- xi of the generalised Pareto on the log scale
    tail_scale        DOUBLE  NOT NULL,  -- its beta
    state             VARCHAR NOT NULL,  -- learning: few samples, judged with more doubt; ready
    updated_at        TIMESTAMP_NS NOT NULL
);
-- The same for amounts.
CREATE TABLE IF NOT EXISTS amount_baselines (
    service_name VARCHAR NOT NULL,
    operation    VARCHAR NOT NULL,
    span_kind    VARCHAR NOT NULL,
    cell         VARCHAR NOT NULL,  -- order|BTC|BUY, or order|BTC where one side is thin
    sample_count BIGINT  NOT NULL,
    p50          DOUBLE  NOT NULL,  -- in the asset
    p99          DOUBLE  NOT NULL,
    sigma3       DOUBLE  NOT NULL,  -- a whale begins here, if it is also large against the median
    state        VARCHAR NOT NULL,
    updated_at   TIMESTAMP_NS NOT NULL
);
