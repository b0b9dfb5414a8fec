"""The outside market: reference prices, their source and their age."""
