-- A folder from before orders had a time in force: each rested for 30 s, and what was paid was not stored.
ALTER TABLE orders ADD COLUMN time_in_force TEXT NOT NULL DEFAULT 'GTC';
ALTER TABLE orders ADD COLUMN expires_unix_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN quote_units INTEGER NOT NULL DEFAULT 0;
UPDATE orders SET time_in_force = 'GTD', expires_unix_nano = created_unix_nano + 30000000000 WHERE price_ticks > 0;
