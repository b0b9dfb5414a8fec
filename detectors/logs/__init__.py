"""The detector of log lines, and the templates that it counts."""
