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
    button("Copy link", "Copy a link to this span", () => copyText(spanLink(data.trace_id, row.id))),
    button("Copy id", `Copy ${row.id}`, () => copyText(row.id)),
    button("✕", "Close details (Esc)", () => view.closeDrawer()),
  )
  const more = view.details
  drawer.append(head)
  if (!more) return drawer.append(make("div", "k", "Its attributes and events are on their way …"))
  drawer.append(factGrid(row))
  if (row.message) drawer.append(make("div", "message", row.message))
  if (row.orphan) drawer.append(make("div", "hint", `Its parent ${row.parent_id} was not received.`))
  const call = more.genai[row.id]
  if (call) drawer.append(callPanel(call))
  drawer.append(linkList(more.links[row.id] ?? []), logList(more.logs[row.id] ?? []))
  drawer.append(pairTable("Attributes", row.attributes))
  const origin = more.origins[more.origin_of[state.selected]]
  if (origin) drawer.append(pairTable("Resource", origin.resource), pairTable("Scope", origin.scope))
  for (const event of row.events) {
    drawer.append(pairTable(`Event at +${durationText(event.offset_ns)}: ${event.name}`, event.attributes))
  }
}

const spanLink = (trace, span) => `${window.location.origin}/trace?id=${trace}&span=${span}`

const copyText = (text) => navigator.clipboard?.writeText(text)

function linkList(links) {
  const box = make("div", "pairs")
  if (!links.length) return box
  box.append(make("div", "k", "Links to other traces"))
  for (const [trace, span] of links) {
    const anchor = make("a", "", `${trace.slice(0, 8)}… span ${span}`)
    anchor.href = `/trace?id=${encodeURIComponent(trace)}&span=${encodeURIComponent(span)}`
    anchor.target = "_self"
    const line = make("div")
    line.append(anchor)
    box.append(line)
  }
  return box
}

function logList(lines) {
  const box = make("div", "pairs")
  if (!lines.length) return box
  box.append(make("div", "k", "Log lines"))
  for (const [time, level, text] of lines) box.append(make("div", "log", `${time} ${level} ${text}`))
  return box
}

// A call of a language model: model, tokens and cost, then what was said, in its own lines.
function callPanel(call) {
  const box = make("div", "pairs")
  box.append(make("div", "k", "Call of a language model"), grid(call.facts))
  for (const [title, said] of [["Prompt", call.prompt], ["Completion", call.completion]]) {
    if (!said.length) continue
    box.append(make("div", "k", title))
    for (const [role, text] of said) {
      const message = make("div", "said")
      if (role) message.append(make("b", "", role))
      message.append(make("div", "", text))
      box.append(message)
    }
  }
  return box
}

function grid(facts) {
  const box = make("div", "facts")
  for (const [name, value] of facts) {
    const cell = make("div", "fact")
    cell.append(make("div", "k", name), make("div", "v", value))
    box.append(cell)
  }
  return box
}

function factGrid(row) {
  const facts = [
    ["Duration", durationText(row.duration_ns)],
    ["Self time", durationText(row.self_time_ns)],
    ["Usual (p50)", row.p50_ns === null ? "no baseline" : durationText(row.p50_ns)],
    ["Slowest 1% (p99)", durationText(row.p99_ns)],
    ["Against", row.p50_ns === null ? "–" : `${row.cell}, ${row.samples}`],
    ["Over baseline", row.excess_ns === null ? "–" : durationText(row.excess_ns)],
    ["Percentile", row.percentile_text],
    ["Deviation", row.sigma_text],
    ["Starts at", `+${durationText(row.offset_ns)}`],
    ["Started", row.start_text],
    ["Kind", row.kind],
    ["Status", row.status],
    ["Span id", row.id],
  ]
  return grid(facts)
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
