"""The fee tier of each user. Everybody begins in the same one."""

from __future__ import annotations

from exchange_ref.load.traders import USERS

STANDARD = "standard"


class FeeTiers:
    """`tiers` by user; a user without an entry who is not a known trader is in the standard tier."""

    def __init__(self) -> None:
        self.tiers = dict.fromkeys(USERS, STANDARD)

    def tier_of(self, user_id: str) -> str:
        return self.tiers[user_id] if user_id in USERS else STANDARD
