-- The API's own view of the exchange. The matcher's ledger is the truth; these rows follow it.
CREATE TABLE IF NOT EXISTS wallets (
    user_id TEXT NOT NULL,
    asset TEXT NOT NULL,
    available_units INTEGER NOT NULL,  -- units of 1e-8, as in the ledger
    locked_units INTEGER NOT NULL,     -- held by open orders
    version INTEGER NOT NULL,          -- the ledger's; an older one never overwrites a newer
    PRIMARY KEY (user_id, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    pair TEXT NOT NULL,
    side TEXT NOT NULL,
    type TEXT NOT NULL,
    price_ticks INTEGER NOT NULL,      -- 0 for a market order
    quantity_lots INTEGER NOT NULL,
    filled_lots INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL,
    created_unix_nano INTEGER NOT NULL,
    time_in_force TEXT NOT NULL,
    expires_unix_nano INTEGER NOT NULL,  -- 0 for one that is not GTD
    quote_units INTEGER NOT NULL DEFAULT 0,  -- paid for all that is filled; 0 where that was not stored
    stop_ticks INTEGER NOT NULL DEFAULT 0,   -- 0 for one that waits for no price
    triggered INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_id, client_order_id)  -- a repeat is answered with the first order and stores nothing
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS addresses (
    address TEXT PRIMARY KEY,          -- kx1…, made from the user id
    user_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS transfers (
    transfer_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,             -- who sends
    client_transfer_id TEXT NOT NULL,
    to_address TEXT NOT NULL,
    asset TEXT NOT NULL,
    units INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_unix_nano INTEGER NOT NULL,
    UNIQUE (user_id, client_transfer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS cfd_trades (
    trade_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    client_trade_id TEXT NOT NULL,
    asset TEXT NOT NULL,
    side TEXT NOT NULL,
    leverage INTEGER NOT NULL,
    margin_units INTEGER NOT NULL,     -- of USD
    entry_ticks INTEGER NOT NULL,
    stop_loss_ticks INTEGER NOT NULL,  -- 0 for none
    take_profit_ticks INTEGER NOT NULL,
    status TEXT NOT NULL,              -- NEW until the matcher has answered
    price_ticks INTEGER NOT NULL,      -- at which it ended
    profit_units INTEGER NOT NULL,     -- below zero for a loss, never less than minus the margin
    created_unix_nano INTEGER NOT NULL,
    UNIQUE (user_id, client_trade_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cfd_trades_of_user ON cfd_trades (user_id, created_unix_nano);

CREATE TABLE IF NOT EXISTS users (
    user_id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,        -- in small letters
    password_hash TEXT NOT NULL,       -- argon2id with its salt and parameters
    verified INTEGER NOT NULL DEFAULT 0,
    code_hash TEXT NOT NULL,           -- SHA-256 of address and code
    code_until_unix_nano INTEGER NOT NULL,
    code_sent_unix_nano INTEGER NOT NULL,
    guesses INTEGER NOT NULL DEFAULT 0,       -- of this code
    failed_logins INTEGER NOT NULL DEFAULT 0, -- in a row
    locked_until_unix_nano INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    refresh_hash TEXT NOT NULL,        -- SHA-256 of the one refresh token that works
    created_unix_nano INTEGER NOT NULL,
    until_unix_nano INTEGER NOT NULL,
    ended_unix_nano INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_of_user ON sessions (user_id);

CREATE TABLE IF NOT EXISTS second_factors (
    user_id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,              -- base32, shared with the user's authenticator
    confirmed INTEGER NOT NULL DEFAULT 0,
    last_step INTEGER NOT NULL DEFAULT 0  -- of the newest code that was used; older ones work no more
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY,       -- also the payment provider's idempotency key
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,                -- DEPOSIT or WITHDRAWAL
    client_id TEXT NOT NULL,
    asset TEXT NOT NULL,
    units INTEGER NOT NULL,            -- that the provider moves
    fee_units INTEGER NOT NULL,
    status TEXT NOT NULL,              -- PENDING until it is over
    created_unix_nano INTEGER NOT NULL,
    UNIQUE (user_id, kind, client_id)
) STRICT, WITHOUT ROWID;
-- They are looked for every few seconds, and are few.
CREATE INDEX IF NOT EXISTS pending_payments ON payments (payment_id) WHERE status = 'PENDING';
