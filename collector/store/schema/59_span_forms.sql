-- The forms of each operation's spans, and the number of spans with each: a trace's structure is compared with them
-- (detectors/baseline/forms.py). A row is an addition, as in baseline_sketches.
CREATE TABLE IF NOT EXISTS span_forms (
    service_name VARCHAR NOT NULL,
    operation    VARCHAR NOT NULL,  -- span_name
    span_kind    VARCHAR NOT NULL,
    aspect       VARCHAR NOT NULL,  -- calls: the set of operations it called; count: how often one of them; status
    callee       VARCHAR NOT NULL,  -- 'service operation KIND' that is counted; else empty
    form         VARCHAR NOT NULL,  -- the called operations, one a line; a number of calls; failed, or empty
    sample_count BIGINT  NOT NULL   -- negative: such spans turned out to have another form, by a late child
);
