"""Exports: `run.write_export(client, "trl-sft", folder)` makes a folder of training data from a server."""
