-- Stored explanations: an explanation that someone rated must be found again, word for word.
CREATE TABLE IF NOT EXISTS explanations (
    explanation_id VARCHAR PRIMARY KEY,
    subject_kind   VARCHAR NOT NULL,      -- anomaly | incident | trace: what was asked about
    subject_id     VARCHAR NOT NULL,
    subject_size   BIGINT NOT NULL,       -- anomalies of the incident, spans of the trace: has it grown since?
    group_id       VARCHAR NOT NULL,      -- incident, else trace: training rows are split by it, so that nothing leaks
    trace_id       VARCHAR,               -- the exemplar that the evidence comes from
    created_at     TIMESTAMP_NS NOT NULL,
    source         VARCHAR NOT NULL,      -- deterministic | model: whose words the summary is
    model          VARCHAR,               -- the model asked, also when its text was not used
    prompt_version VARCHAR NOT NULL,      -- which template `context` belongs to
    summary        VARCHAR NOT NULL,
    root_causes    JSON NOT NULL,
    evidence       JSON NOT NULL,
    recommendations JSON NOT NULL,
    confidence     DOUBLE NOT NULL,       -- from code, never from a model
    notice         VARCHAR NOT NULL,      -- why the model's text was not used, wholly or in part; else empty
    context        JSON NOT NULL          -- the redacted data a model gets: the prompt of the training row
);
CREATE INDEX IF NOT EXISTS explanations_by_subject ON explanations (subject_kind, subject_id);
