"""What the HTTP API reads, writes and answers."""
