-- Times are stored in UTC without a zone, and DuckDB does not compare such a time with one that has a zone: the usual
-- `start_time > now() - INTERVAL 1 HOUR` would be an error. So "now" has no zone here either.
CREATE OR REPLACE MACRO now() AS timezone('UTC', system.main.now());
CREATE OR REPLACE MACRO get_current_timestamp() AS timezone('UTC', system.main.now());  -- CURRENT_TIMESTAMP
CREATE OR REPLACE MACRO transaction_timestamp() AS timezone('UTC', system.main.now());
CREATE OR REPLACE MACRO to_timestamp(seconds) AS timezone('UTC', system.main.to_timestamp(seconds));
CREATE OR REPLACE MACRO ago(duration) AS timezone('UTC', system.main.now()) - duration::INTERVAL;
