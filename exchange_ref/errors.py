"""The errors of the exchange's command line. They know nothing of HTTP or the terminal.

ExchangeError           the exchange cannot start or go on; exit code 1
├── AddressInUse        another process listens on the port
├── FolderUnusable      the data folder cannot be written, or its journal is damaged
└── InvalidUse          the caller asked for something that cannot be done; exit code 2
    └── InvalidSchedule a fault schedule with a mistake, named by line and field

Errors of the trading domain (`engine.orders.OrderRejected`) become HTTP answers in `api/` and never
reach the command line.
"""

from __future__ import annotations


class ExchangeError(Exception):
    """Base of all expected errors; the message says what was wrong and what to do."""

    exit_code = 1


class AddressInUse(ExchangeError):
    pass


class FolderUnusable(ExchangeError):
    pass


class InvalidUse(ExchangeError):
    exit_code = 2


class InvalidSchedule(InvalidUse):
    pass
