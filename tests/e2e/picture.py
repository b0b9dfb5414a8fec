"""Takes README's picture of the real page: a demo runs until its slow database has been explained.

uv run python tests/e2e/picture.py [dashboard/screenshots/incident.png]
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browsing import chromium, settle, watched_page
from tests.e2e.support import SPYHOP

TARGET = Path("dashboard/screenshots/incident.png")
HEIGHT_PX = 1000


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with tempfile.TemporaryDirectory() as folder:
        command = [*SPYHOP, "demo", "--headless", "--json", "--data", f"{folder}/data"]
        demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            assert demo.stderr is not None
            url = ""
            for line in demo.stderr:
                if found := re.match(r"dashboard\s+(http\S+)", line):
                    url = found[1]
                if line.startswith("incident") and "Whale" in line:
                    break
            time.sleep(2)
            with chromium() as browser, watched_page(browser, url) as page:
                page.set_viewport_size({"width": 1440, "height": HEIGHT_PX})
                page.goto("/incident?live=false")
                settle(page)
                page.get_by_role("option", name=re.compile("SELECT wallets")).first.click()
                settle(page)
                page.get_by_role("treeitem").first.wait_for()
                page.wait_for_timeout(500)
                page.screenshot(path=target)
        finally:
            demo.terminate()
            demo.wait(30)
    print(target)


if __name__ == "__main__":
    main()
