INSERT INTO addresses (address, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING
