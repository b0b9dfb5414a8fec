// Shared by the components. Text from telemetry goes through textContent only: nothing here parses HTML.

function make(tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined && text !== null) node.textContent = String(text)
  return node
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) node.removeAttribute(name)
    else node.setAttribute(name, String(value))
  }
  return node
}

function button(label, title, onClick) {
  const node = make("button", "btn", label)
  node.type = "button"
  node.title = title
  // A word names itself; only a sign needs another name.
  if (!/[a-z]/i.test(label)) node.setAttribute("aria-label", title)
  node.onclick = onClick
  return node
}

// Three significant figures in the unit that the duration fills; agrees with dashboard/format.py.
function durationText(ns) {
  if (ns === null || ns === undefined || !Number.isFinite(ns)) return "–"
  const sign = ns < 0 ? "-" : ""
  const size = Math.abs(ns)
  if (size >= 3.6e12) {
    const minutes = Math.round(size / 6e10)
    return `${sign}${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`
  }
  if (size >= 6e10) {
    const seconds = Math.round(size / 1e9)
    return `${sign}${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`
  }
  for (const [unit, suffix] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]]) {
    if (size >= unit * 0.9995 || unit === 1) return `${sign}${significant(size / unit)} ${suffix}`
  }
}

function significant(value) {
  if (value === 0) return "0"
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const text = value.toFixed(decimals)
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text
}
