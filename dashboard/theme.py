"""Colours, severities and Streamlit's options. One place, so that charts, components and pages agree."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

BACKGROUND = "#0E1117"
PANEL = "#161B22"
TEXT = "#E6EDF3"
MUTED = "#9DA7B3"  # 7.4:1 on the background, 6.8:1 on a panel
BORDER = "#30363D"
PRIMARY = "#1F6FEB"
LINK = "#58A6FF"
GOOD = "#3FB950"
BAD = "#FF7B72"


@dataclass(frozen=True)
class Severity:
    """How a severity looks: always text and a shape, never colour alone."""

    level: int
    colour: str
    icon: str

    @property
    def label(self) -> str:
        return f"SEV{self.level}"


# At least 4.5:1 on background and panel, and apart under simulated colour blindness.
SEVERITIES = {
    1: Severity(1, "#FF4D6D", "▲"),
    2: Severity(2, "#FF9F43", "◆"),
    3: Severity(3, "#FFF3A0", "■"),
    4: Severity(4, "#4DABF7", "●"),
    5: Severity(5, "#8E99A8", "○"),
}

# No hue of a severity among them.
SERVICE_COLOURS = (
    "#79C0FF",
    "#56D4BC",
    "#D2A8FF",
    "#E3B341",
    "#7EE787",
    "#F0A6CA",
    "#A5B4FC",
    "#C9D1D9",
    "#FFB77C",
    "#8DDBE0",
    "#C3E88D",
    "#E0AAFF",
)
MAX_SERVICES_KNOWN = 2000
_places: dict[str, int] = {}
_places_lock = threading.Lock()

STATE_ICONS = {"open": "●", "acknowledged": "◐", "snoozed": "◷", "resolved": "✓"}


def severity(level: object) -> Severity:
    """The look of a severity; an unknown level looks like the mildest."""
    return SEVERITIES.get(level if isinstance(level, int) else 5, SEVERITIES[5])


def service_colours(services: Iterable[str]) -> dict[str, str]:
    """A colour for each service, in order of name.

    A service keeps its colour on every page and in every tab: each gets the next one when this process first
    sees it. Beyond 2,000 services, colours follow from the name.
    """
    names = sorted(set(services))
    with _places_lock:
        for name in names:
            if name not in _places and len(_places) < MAX_SERVICES_KNOWN:
                _places[name] = len(_places)
    return {
        name: SERVICE_COLOURS[_places.get(name, zlib.crc32(name.encode())) % len(SERVICE_COLOURS)]
        for name in names
    }


# A chosen pill's text is Streamlit's primary colour, 3.3:1 on its own background; this is 8:1.
PAGE_STYLE = """
<style>
[data-testid="stButtonGroup"] button[data-selected="true"] p { color: #A5D6FF; }
/* Parts that refresh by themselves would be dimmed each time; their age says how current they are. */
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.stMainBlockContainer { padding-left: 2rem !important; padding-right: 2rem !important; }
.st-key-bar_place { min-height: 46px; }
.sp-age { color: #9DA7B3; font-size: 12px; font-variant-numeric: tabular-nums; display: inline-block;
  min-width: 130px; }
.sp-age.stale { color: #FF9F43; font-weight: 600; }
/* A busy machine takes seconds to answer; an empty page would look like an empty answer. */
.stMainBlockContainer:not(:has(.sp))::after { content: "Waiting for the server's answer …"; color: #9DA7B3;
  opacity: 0; animation: sp-waiting 0s 1s forwards; }
@keyframes sp-waiting { to { opacity: 1; } }
</style>
"""

# Given to Streamlit by code, so the look does not depend on the folder in which the process starts.
STREAMLIT_OPTIONS: dict[str, object] = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.enableAgentApi": False,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "logger.level": "warning",
    # A link may set a switch before it is drawn, which Streamlit calls a mistake, with a stack.
    "global.disableWidgetStateDuplicationWarning": True,
    "theme.base": "dark",
    "theme.backgroundColor": BACKGROUND,
    "theme.secondaryBackgroundColor": PANEL,
    "theme.textColor": TEXT,
    "theme.borderColor": BORDER,
    "theme.primaryColor": PRIMARY,
    "theme.linkColor": LINK,
    "theme.baseFontSize": 14,
    "theme.baseRadius": "6px",
    "theme.paddingTop": "1rem",
    "theme.paddingBottom": "2rem",
}
