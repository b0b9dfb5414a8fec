"""The shop of `tests/collector/search`, asked in the words of other tools."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "search_conftest", Path(__file__).parent.parent / "search" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shop)
served, shop = _shop.served, _shop.shop
