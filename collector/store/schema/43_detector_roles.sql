-- The meaning of a detector's anomalies; `detectors/model/roles.py` reads it from this file.
-- role: call: accuses an operation, and becomes an incident only together with others. event: opens an incident by
--   itself.
-- flags_span: the span of the anomaly itself was unusual, so it is not learned. The span of a log line or of a price
-- may   be entirely ordinary.
-- degrades: an incident of this kind means that a service works worse than usual. A whale, a market that moves and
--   memory that grows do not mean this: callers notice nothing yet.
CREATE OR REPLACE VIEW detector_roles AS
SELECT *
FROM (
    VALUES
        ('latency', 'call', true, true),
        ('error', 'call', true, true),
        ('structure', 'call', true, true),
        ('message_wait', 'call', true, true),
        ('log', 'call', false, true),
        ('throughput', 'event', false, true),
        ('amount', 'event', false, false),
        ('market', 'event', false, false),
        ('metric', 'event', false, false)
) AS roles (detector, "role", flags_span, degrades);
