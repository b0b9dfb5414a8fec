-- Which attributes set the traces of an incident apart from usual ones, strongest first. Replaced as it grows.
CREATE TABLE IF NOT EXISTS incident_differences (
    incident_id  VARCHAR NOT NULL,
    rank         INTEGER NOT NULL,    -- from 1
    key          VARCHAR NOT NULL,    -- of a span; 'service: key' of a resource
    value        VARCHAR NOT NULL,    -- as text, its first 200 characters
    share        DOUBLE  NOT NULL,    -- of the incident's traces that carry the key, those with this value (support)
    usual_share  DOUBLE  NOT NULL,    -- the same of usual traces before it
    trace_count  BIGINT  NOT NULL,    -- of the incident, with this value
    lift         DOUBLE  NOT NULL,    -- share over usual_share; where it never occurred, over half a trace's
    z            DOUBLE  NOT NULL,    -- how surely the shares differ, in standard errors
    also         VARCHAR[] NOT NULL,  -- 'key = value' of others that mark the same traces
    service_name VARCHAR NOT NULL,    -- where it is carried first, in the longest of these traces
    operation    VARCHAR NOT NULL,
    trace_id     VARCHAR NOT NULL,
    span_id      VARCHAR NOT NULL
);
