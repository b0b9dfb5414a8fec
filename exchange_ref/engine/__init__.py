"""kx-matcher: books, balances and matching. Pure but for the journal: no clock, no network, no chance."""
