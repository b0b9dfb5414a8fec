// What is visible, what matches, where time lies: no DOM here.

const ROW_PX = 26
const LABEL_SHARE = 0.4

// Rows come depth-first; `end` is the index after a row's last descendant.
function visibleRows(rows, collapsed) {
  const visible = []
  for (let i = 0; i < rows.length; ) {
    visible.push(i)
    i = collapsed.has(rows[i].id) ? rows[i].end : i + 1
  }
  return visible
}

function ancestorsOf(rows, index) {
  const found = []
  for (let i = rows[index].parent; i >= 0; i = rows[i].parent) found.push(i)
  return found
}

// Every word must occur in the span's service, name, status message or an attribute; `error` finds errors.
function matchesOf(rows, services, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  if (!words.length) return []
  const found = []
  rows.forEach((row, index) => {
    row.haystack ??= [
      services[row.service].name, row.name, row.kind, row.id, row.message, row.failed ? "error" : "",
      ...row.attributes.map(([key, value]) => `${key}=${value}`), ...row.events.map((event) => event.name),
    ].join("\n").toLowerCase()
    if (words.every((word) => row.haystack.includes(word))) found.push(index)
  })
  return found
}

// Ticks at 1, 2 or 5 times a power of ten nanoseconds, at most `most` of them.
function ticksOf(from, to, most) {
  const rough = (to - from) / Math.max(1, most)
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)
  const ticks = []
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at)
  return ticks
}

function clampWindow(from, to, total) {
  const size = Math.min(Math.max(to - from, Math.min(total, 1000)), total)
  const start = Math.min(Math.max(from, 0), total - size)
  return [start, start + size]
}
