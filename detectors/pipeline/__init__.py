"""Landed batches in, anomalies and incidents out, in one commit."""
