"""Charges lost time to services: the ends of slow calls, and stalls of whole processes."""
