-- The time of so many nanoseconds since 1970, and the nearest one that a TIMESTAMP_NS can hold for what lies beyond
-- its range: a span may end in 2262, and a minute after it there is no time any more. The largest int64 is infinity.
CREATE OR REPLACE MACRO time_at(unix_nano) AS
    CASE
        WHEN unix_nano IS NOT NULL
        THEN make_timestamp_ns(greatest(0, least(unix_nano::HUGEINT, 9223372036854775806::HUGEINT))::BIGINT)
    END;
-- A time and some nanoseconds more or less, in whole numbers that cannot overflow.
CREATE OR REPLACE MACRO time_plus("time", nanoseconds) AS
    time_at(epoch_ns("time")::HUGEINT + nanoseconds::HUGEINT);
