"""The HTTP API of the detectors: routes, and what they read and write."""
