"""The life of an incident: grouped, stored, its causes found, ended."""
