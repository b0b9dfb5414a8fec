-- What is known of resources that are taken and released, so that a leak of days outlives a restart.
-- One row for each series and scale; times in whole stretches of `stretch_s` since 1970.
CREATE TABLE IF NOT EXISTS growth_floors (
    series      VARCHAR  NOT NULL,   -- service, metric and attributes, as in level_points
    stretch_s   BIGINT   NOT NULL,   -- length of a stretch
    begun       BIGINT   NOT NULL,   -- the first stretch that was seen
    number      BIGINT   NOT NULL,   -- the one that is under way …
    lowest      DOUBLE   NOT NULL,   -- … and its lowest figure so far
    numbers     BIGINT[] NOT NULL,   -- the newest that are over, oldest first …
    floors      DOUBLE[] NOT NULL,   -- … and the lowest figure of each
    past_hours  BIGINT[] NOT NULL,   -- hours of the last day …
    past_growth DOUBLE[] NOT NULL,   -- … and the largest growth over 25 stretches that ended in each
    episode     JSON,                -- the growth that is followed now at this scale; NULL without one
    updated_at  TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (series, stretch_s)
);
