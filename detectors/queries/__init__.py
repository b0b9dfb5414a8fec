"""SQL of the detectors, one statement a file."""
