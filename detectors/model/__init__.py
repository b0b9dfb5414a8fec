"""Types that all detectors share: operations, anomalies, severity, and their texts."""
