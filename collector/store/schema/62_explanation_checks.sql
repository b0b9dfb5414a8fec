-- How an explanation was made: its inputs, and the result of each sentence that a model wrote.
CREATE TABLE IF NOT EXISTS explanation_checks (
    explanation_id  VARCHAR PRIMARY KEY,
    basis           VARCHAR NOT NULL,   -- digest of the incident's title, causes and detectors: it is explained anew when they change
    fallback_reason VARCHAR NOT NULL,   -- a code of llm/errors.py, or not_borne_out: why code's text stands; else empty
    sentences       JSON NOT NULL       -- of each: written, cited, verdict (kept | replaced | dropped), rule, shown
);
