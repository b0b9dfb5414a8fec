"""HTML fragments for `st.html`, built so that no text can become markup.

Telemetry is written by whoever calls the traced system. Every text passes `html.escape` here, Streamlit
sanitises the result again in the browser, and the Content-Security-Policy forbids inline scripts.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from dashboard import format as fmt
from dashboard.theme import BORDER, LINK, MUTED, PANEL, TEXT, severity

# A fact longer than this takes two columns.
WIDE_CHARS = 20
MAX_TEXT_CHARS = 4000

STYLE = f"""
<style>
.sp {{ color: {TEXT}; font-variant-numeric: tabular-nums; }}
.sp a {{ color: {LINK}; text-decoration: underline #58A6FF66; text-underline-offset: 3px; }}
.sp table a, .sp .chip a {{ text-decoration: none; }}
.sp a:hover, .sp a:focus {{ text-decoration: underline; text-decoration-color: currentcolor; }}
.sp .muted {{ color: {MUTED}; }}
.sp .chip {{ display: inline-block; border-radius: 4px; padding: 0 6px; font-weight: 600; color: #0B0E13;
  font-size: 12px; line-height: 20px; white-space: nowrap; }}
.sp .tag {{ display: inline-block; border: 1px solid {BORDER}; border-radius: 4px; padding: 0 6px;
  font-size: 12px; line-height: 19px; color: {TEXT}; white-space: nowrap; }}
.sp.panel, .sp .panel {{ background: {PANEL}; border: 1px solid {BORDER}; border-radius: 6px;
  padding: 10px 14px; }}
.sp .counted {{ margin-right: 14px; }}
.sp .counted a {{ text-decoration: underline; text-underline-offset: 3px; }}
.sp .line {{ display: flex; gap: 10px; margin-top: 3px; }}
.sp .line .k {{ color: {MUTED}; flex: 0 0 96px; }}
.sp .line .t {{ overflow-wrap: anywhere; min-width: 0; }}
.sp .scroll {{ overflow-x: auto; }}
.sp table {{ border-collapse: collapse; width: 100%; }}
.sp th {{ color: {MUTED}; font-weight: 500; text-align: right; padding: 4px 10px; white-space: nowrap;
  border-bottom: 1px solid {BORDER}; }}
.sp td {{ padding: 5px 10px; text-align: right; border-bottom: 1px solid {BORDER}; white-space: nowrap; }}
.sp th.l, .sp td.l {{ text-align: left; }}
.sp .dense td {{ padding: 0 10px; line-height: 20px; border-bottom: 0; }}
.sp td.wrap {{ white-space: normal; overflow-wrap: anywhere; }}
.sp .facts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); gap: 8px 16px; }}
.sp .facts .wide {{ grid-column: span 2; }}
.sp .facts .k {{ color: {MUTED}; font-size: 12px; }}
.sp .facts .v {{ font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }}
.sp .title {{ font-size: 17px; font-weight: 600; overflow-wrap: anywhere; }}
.sp ol, .sp ul {{ margin: 4px 0 4px 0; padding-left: 22px; }}
.sp li {{ margin: 3px 0; overflow-wrap: anywhere; }}
</style>
"""


class Safe(str):
    """Markup that was built here; the only text that is not escaped again."""

    __slots__ = ()


def text(value: object, limit: int = MAX_TEXT_CHARS) -> Safe:
    """Any text as inert markup."""
    return value if isinstance(value, Safe) else Safe(html.escape(fmt.plain(value, limit), quote=True))


def prose(value: object) -> Safe:
    """Sentences; text between backticks becomes code, so that a command can be copied."""
    parts = fmt.plain(value or "", MAX_TEXT_CHARS).split("`")
    return tag("span", *(tag("code", part) if index % 2 else part for index, part in enumerate(parts)))


def tag(name: str, *children: object, css: str = "", style: str = "", **attributes: object) -> Safe:
    """One element. Names, `css` and `style` come from code; children and attributes may be data."""
    pairs = {"class": css, "style": style, **{key.rstrip("_"): value for key, value in attributes.items()}}
    written = "".join(
        f' {key.replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in pairs.items()
        if value != ""
    )
    return Safe(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Safe:
    return Safe(between.join(text(part) for part in parts))


def link(label: object, path: str, **query: object) -> Safe:
    """A link inside the dashboard; it keeps the tab."""
    href = f"{path}?{urlencode({key: str(value) for key, value in query.items()})}" if query else path
    return tag("a", label, href=href, target="_self")


def severity_chip(level: object) -> Safe:
    look = severity(level)
    return tag("span", f"{look.icon} {look.label}", css="chip", style=f"background:{look.colour}")


def outlined(label: object) -> Safe:
    return tag("span", label, css="tag")


def facts(pairs: Sequence[tuple[str, object, str]]) -> Safe:
    """A row of figures: (name, value, what it means)."""
    return tag(
        "div",
        *(
            tag(
                "div",
                tag("div", name, css="k"),
                tag("div", value, css="v"),
                title=meaning,
                css="wide" if len(str(value)) > WIDE_CHARS else "",
            )
            for name, value, meaning in pairs
        ),
        css="facts",
    )


def table(head: Sequence[tuple[str, str]], rows: Iterable[Sequence[object]]) -> Safe:
    """A table; `head` is (title, css class of the column)."""
    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", *(tag("th", title, css=css, scope="col") for title, css in head))),
            tag(
                "tbody",
                *(
                    tag("tr", *(tag("td", value, css=css) for value, (_, css) in zip(row, head, strict=True)))
                    for row in rows
                ),
            ),
        ),
        css="scroll",
        tabindex="0",  # scrolled by keys where it is wider than the page
    )


def page(*parts: object, css: str = "", style: str = "") -> str:
    """What `st.html` gets: the parts inside the dashboard's own style."""
    return STYLE + tag("div", *parts, css=f"sp {css}".strip(), style=style)
