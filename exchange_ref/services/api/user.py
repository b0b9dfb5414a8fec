"""The user of a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

# The gateway passes it on; tokens come with accounts.
UserId = Annotated[str, Header(alias="x-user-id", min_length=1, max_length=64)]
