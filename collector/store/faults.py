"""Whether a failed transaction is the fault of the machine or of the rows."""

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
