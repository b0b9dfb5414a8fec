// One span as a row: name cell on the left, bar on the right.

function rowNode(view, index, position) {
  const { data, state } = view
  const row = data.rows[index]
  const service = data.services[row.service]
  const open = !state.collapsed.has(row.id)
  const node = make("div", "row")
  node.id = `span-${row.id}`
  node.style.top = `${position * ROW_PX}px`
  node.classList.toggle("selected", state.selected === index)
  node.classList.toggle("cited", data.highlight.includes(row.id))
  node.classList.toggle("matched", state.matchSet.has(index))
  node.classList.toggle("critical", row.critical)
  setAttributes(node, {
    role: "treeitem",
    "aria-level": row.depth + 1,
    "aria-selected": state.selected === index,
    "aria-expanded": row.end > index + 1 ? open : null,
    "aria-setsize": row.setsize,
    "aria-posinset": row.posinset,
  })
  node.append(nameCell(view, row, index, service, open), timeCell(view, row, service), make("span", "spoken", spokenMarks(row)))
  node.onclick = () => view.select(index, true)
  return node
}

// What else only colour and shape say.
function spokenMarks(row) {
  const parts = [""]
  if (row.critical) parts.push("on the critical path")
  if (row.orphan) parts.push("parent span missing")
  if (row.outlives) parts.push("outlives its parent")
  if (row.anomalous) parts.push("anomalous")
  return parts.join(", ")
}

function nameCell(view, row, index, service, open) {
  const cell = make("div", "name")
  cell.style.paddingLeft = `${6 + Math.min(row.depth, 24) * 13}px`
  const caret = make("span", "caret", row.end > index + 1 ? (open ? "▾" : "▸") : "")
  caret.setAttribute("aria-hidden", "true")
  if (row.end > index + 1) {
    caret.onclick = (event) => {
      event.stopPropagation()
      view.toggle(index)
    }
  }
  const strip = make("span", "strip")
  strip.style.background = service.colour
  const text = make("span", "label")
  text.append(make("span", "op", row.name), " ", make("span", "svc", service.name), " ")
  text.title = `${service.name}: ${row.name}`
  cell.append(caret, strip, text)
  if (row.failed) cell.append(mark("✖ error", "err", row.message || "status ERROR"))
  if (row.orphan) cell.append(mark("⚠ orphan", "warn", "Its parent span was not received: times are as reported"))
  if (row.outlives) cell.append(mark("⇥", "warn", "Ends after its parent: work went on in the background"))
  if (!open) cell.append(mark(`+${row.end - index - 1}`, "more", `${row.end - index - 1} spans hidden`))
  return cell
}

function mark(text, kind, title) {
  const node = make("span", `mark ${kind}`, text)
  node.title = title
  return node
}

function timeCell(view, row, service) {
  const cell = make("div", "time")
  const [from, to] = view.state.window
  const percent = (ns) => ((ns - from) / (to - from)) * 100
  const place = (node, start, length) => {
    const left = Math.max(percent(start), -1)
    const right = Math.min(percent(start + length), 101)
    node.style.left = `${left}%`
    node.style.width = `max(2px, ${Math.max(0, right - left)}%)`
    return node
  }
  const visible = row.offset_ns + row.duration_ns >= from && row.offset_ns <= to
  if (visible) {
    const bar = place(make("div", "bar"), row.offset_ns, row.duration_ns)
    bar.style.background = service.colour
    if (row.anomalous) bar.classList.add("anomalous")
    if (row.failed) bar.classList.add("failed")
    cell.append(bar)
    if (row.p50_ns !== null) {
      const ghost = place(make("div", "ghost"), row.offset_ns, row.p50_ns)
      ghost.title = `usual duration (p50): ${durationText(row.p50_ns)}`
      cell.append(ghost)
    }
    cell.append(barText(row, percent))
  }
  return cell
}

// The text stands after the bar while there is room, otherwise before it, otherwise on it.
function barText(row, percent) {
  const node = make("div", "value", durationText(row.duration_ns))
  if (row.excess_text) node.append(make("span", "excess", ` ${row.excess_text}`))
  const start = percent(row.offset_ns)
  const end = Math.max(percent(row.offset_ns + row.duration_ns), percent(row.offset_ns + (row.p50_ns ?? 0)))
  const needed = row.excess_text ? 46 : 14
  if (end + needed <= 100) node.style.left = `calc(${Math.max(end, 0)}% + 6px)`
  else if (start >= needed) node.style.right = `calc(${100 - Math.min(start, 100)}% + 6px)`
  else {
    node.classList.add("inside")
    node.style.left = `calc(${Math.max(start, 0)}% + 6px)`
  }
  return node
}
