"""What all detectors speak of: operations, anomalies, severity, and how they are put into words."""
