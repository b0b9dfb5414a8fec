-- A folder from before there were stop orders.
ALTER TABLE orders ADD COLUMN stop_ticks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN triggered INTEGER NOT NULL DEFAULT 0;
