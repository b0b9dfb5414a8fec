"""axe-core in a page: what people cannot read, reach or operate."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, TimeoutError

from tests import npm
from tests.pace import patience_s

PACKAGE = Path(__file__).parent / "dashboard" / "axe"
RUN = """async (runOnly) => {
  const found = await axe.run(document, { resultTypes: ["violations"], runOnly })
  // The rectangles of a chart's brush are Vega's own, and nothing names them.
  const ours = ({ html }) => !html.includes("brush_brush")
  const told = (id) => ({ html }) => `${id}: ${html.slice(0, 200)}`
  return found.violations.flatMap(({ id, nodes }) => nodes.filter(ours).map(told(id)))
}"""
WIDTH = "document.querySelector('[data-testid=stMain]').scrollWidth"
# Every rule at the usual width, at a narrow one those whose answer depends on the layout: half of the time.
RULES = {
    1440: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    800: ["target-size", "scrollable-region-focusable", "link-in-text-block", "meta-viewport", "region"],
}


def install_axe(folder: Path) -> str:
    """axe-core's script, installed from the lock file, outside the repository."""
    npm.install(PACKAGE, folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def complaints(page: Page, axe: str) -> list[str]:
    """Faults of the open page at each width, including a page that is wider than its window."""
    found = []
    page.evaluate(axe)
    for width, rules in RULES.items():
        page.set_viewport_size({"width": width, "height": 1000})
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        try:  # charts follow the window some frames later, on a busy machine many
            page.wait_for_function(f"() => {WIDTH} <= {width}", timeout=patience_s(5) * 1000)
        except TimeoutError:
            found.append(f"{width}: {page.evaluate(WIDTH)} pixels wide")
        found += [f"{width}: {told}" for told in page.evaluate(RUN, rules)]
    page.set_viewport_size({"width": next(iter(RULES)), "height": 1000})
    return found
