-- Context of an explanation: the path from cause to symptom, and similar incidents of the past.
CREATE TABLE IF NOT EXISTS explanation_context (
    explanation_id VARCHAR PRIMARY KEY,
    fingerprint    VARCHAR NOT NULL,   -- structure of the incident (llm/analysis/fingerprint.py), in hexadecimal: what is alike has the same
    propagation    JSON NOT NULL,      -- {trace_id, edges: [{source, target, kind}], reaches_symptom, note}
    past           JSON NOT NULL       -- similar incidents with what engineers said of them
);
CREATE INDEX IF NOT EXISTS explanation_context_by_fingerprint ON explanation_context (fingerprint);
