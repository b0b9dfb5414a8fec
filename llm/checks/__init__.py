"""Checks each sentence of a model against the facts that it cites."""
