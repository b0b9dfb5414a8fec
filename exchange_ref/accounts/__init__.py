"""Who may trade: registration, passwords, sessions, access tokens."""
