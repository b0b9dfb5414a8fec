"""Which end of a slow call is to blame, and what stood still."""
