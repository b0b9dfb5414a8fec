// Everything known about the selected span.

function fillDrawer(view) {
  const { drawer, data, state } = view
  drawer.replaceChildren()
  const row = state.selected === null ? null : data.rows[state.selected]
  drawer.hidden = !row || !state.drawer
  if (drawer.hidden) return
  const head = make("div", "drawer-head")
  head.append(
    make("strong", "", `${data.services[row.service].name} · ${row.name}`),
    button("Copy span id", `Copy ${row.id}`, () => navigator.clipboard?.writeText(row.id)),
    button("✕", "Close details (Esc)", () => view.closeDrawer()),
  )
  drawer.append(head, factGrid(row))
  if (row.message) drawer.append(make("div", "message", row.message))
  if (row.orphan) drawer.append(make("div", "hint", `Its parent ${row.parent_id} was not received.`))
  drawer.append(pairTable("Attributes", row.attributes))
  for (const event of row.events) {
    drawer.append(pairTable(`Event at +${durationText(event.offset_ns)}: ${event.name}`, event.attributes))
  }
}

function factGrid(row) {
  const grid = make("div", "facts")
  const facts = [
    ["Duration", durationText(row.duration_ns)],
    ["Own time", durationText(row.exclusive_ns)],
    ["Usual (p50)", row.p50_ns === null ? "no baseline" : durationText(row.p50_ns)],
    ["Slowest 1% (p99)", durationText(row.p99_ns)],
    ["Against", row.p50_ns === null ? "–" : `${row.cell}, ${row.samples} samples`],
    ["Percentile", row.percentile_text],
    ["Deviation", row.sigma_text],
    ["Starts at", `+${durationText(row.offset_ns)}`],
    ["Started", row.start_text],
    ["Kind", row.kind],
    ["Status", row.status],
    ["Span id", row.id],
  ]
  for (const [name, value] of facts) {
    const cell = make("div", "fact")
    cell.append(make("div", "k", name), make("div", "v", value))
    grid.append(cell)
  }
  return grid
}

function pairTable(title, pairs) {
  const box = make("div", "pairs")
  box.append(make("div", "k", pairs.length ? title : `${title}: none`))
  const table = make("table")
  for (const [name, value] of pairs) {
    const line = make("tr")
    line.append(setAttributes(make("th", "", name), { scope: "row" }), make("td", "", value))
    table.append(line)
  }
  if (pairs.length) box.append(table)
  return box
}
