"""Sources of evidence for a root cause, one a file."""
