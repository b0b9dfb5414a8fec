-- The time at some nanoseconds since 1970; beyond the range of a TIMESTAMP_NS, the nearest time within it. A span may
-- end in 2262, and a minute later there is no TIMESTAMP_NS. The largest int64 means infinity.
CREATE OR REPLACE MACRO time_at(unix_nano) AS
    CASE
        WHEN unix_nano IS NOT NULL
        THEN make_timestamp_ns(greatest(0, least(unix_nano::HUGEINT, 9223372036854775806::HUGEINT))::BIGINT)
    END;
-- A time and some nanoseconds more or less, in whole numbers that cannot overflow.
CREATE OR REPLACE MACRO time_plus("time", nanoseconds) AS
    time_at(epoch_ns("time")::HUGEINT + nanoseconds::HUGEINT);
