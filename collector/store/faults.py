"""Decides whether a transaction failed because of the machine or because of its rows."""

from __future__ import annotations

import duckdb

# Faults of the machine, not of the data: wait and try again. All others are the batch's own.
MACHINE_FAULTS = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.ConnectionException,
    duckdb.InterruptException,
)
