"""kx-exchange: the exchange's HTTP API, its database and its way to the matcher."""
