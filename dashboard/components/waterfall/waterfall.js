// The waterfall: virtualised rows in an ARIA tree, driven by keyboard and mouse.

const views = new WeakMap()
const OVERSCAN_ROWS = 8

const failed = (row) => row.failed

class Waterfall {
  constructor(root) {
    this.root = root
    for (const name of ["search", "found", "tools", "legend", "notice", "axis", "scroller", "tree", "drawer"]) {
      this[name] = root.querySelector(`.${name}`)
    }
    this.canvas = root.querySelector("canvas")
    this.state = null
    this.search.oninput = () => this.find(this.search.value)
    this.search.onkeydown = (event) => {
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1)
      if (event.key === "Escape") this.find((this.search.value = ""))
      event.stopPropagation()
    }
    this.scroller.onscroll = () => this.drawRows()
    this.tree.onkeydown = (event) => this.onKey(event)
    this.tools.append(
      button("Expand", "Expand all spans (])", () => this.expandAll()),
      button("Collapse", "Collapse all spans ([)", () => this.collapseAll()),
      button("↑ Error", "Go to the previous span with an error (E)", () => this.nextWhere(failed, -1)),
      button("↓ Error", "Go to the next span with an error (e)", () => this.nextWhere(failed)),
      button("Most excess", "Go to the span with the most time over its baseline on the critical path (x)", () => this.mostExcess()),
      button("Reset zoom", "Show the whole trace (0)", () => this.zoom(0, this.data.total_ns)),
    )
    connectMinimap(this)
    this.observer = new ResizeObserver(() => this.data && this.draw())
    this.observer.observe(this.scroller)
    this.onDetails = (event) => this.data?.version === event.detail && this.takeDetails()
    window.addEventListener("spyhop-details", this.onDetails)
  }

  close() {
    this.observer.disconnect()
    window.removeEventListener("spyhop-details", this.onDetails)
  }

  // What the drawer shows comes after the picture, perhaps when a search or a chosen span waits for it.
  takeDetails() {
    const sent = keptDetails().get(this.data.version)
    this.details = sent ?? null
    if (!sent) return
    this.data.rows.forEach((row, index) => {
      sent.names.forEach((name, i) => (row[name] = sent.rows[index][i]))
      row.haystack = undefined
    })
    if (this.search.value.trim()) this.match(this.search.value)
    this.draw()
  }

  update(data) {
    const fresh = !this.data || this.data.trace_id !== data.trace_id
    this.data = data
    this.rowCount = data.row_count
    if (fresh) {
      this.state = {
        collapsed: new Set(), selected: null, drawer: false, matches: [], matchSet: new Set(),
        window: [0, data.total_ns], cited: "",
      }
      this.search.value = ""
      this.scroller.scrollTop = 0
    }
    const cited = data.highlight.join()
    if (cited !== this.state.cited) {
      this.state.cited = cited
      const first = data.rows.findIndex((row) => data.highlight.includes(row.id))
      if (first >= 0) this.reveal(first)
    }
    const errors = data.rows.some(failed)
    this.tools.children[2].disabled = this.tools.children[3].disabled = !errors
    this.tools.children[4].disabled = !this.excesses().length
    this.notice.textContent = data.notice
    this.notice.hidden = !data.notice
    this.drawLegend()
    this.takeDetails()
    if (!this.details) this.draw()
  }

  draw() {
    this.visible = visibleRows(this.data.rows, this.state.collapsed)
    const height = Math.min(this.visible.length, this.rowCount) * ROW_PX
    this.scroller.style.height = `${height + 2}px`
    this.tree.style.height = `${this.visible.length * ROW_PX}px`
    this.drawAxis()
    this.drawRows()
    drawMinimap(this)
    fillDrawer(this)
  }

  drawRows() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - OVERSCAN_ROWS)
    const last = Math.min(this.visible.length, first + this.rowCount + 2 * OVERSCAN_ROWS)
    const nodes = []
    for (let position = first; position < last; position++) nodes.push(rowNode(this, this.visible[position], position))
    this.tree.replaceChildren(...nodes)
    const current = this.state.selected
    setAttributes(this.tree, {
      "aria-activedescendant": current === null ? null : `span-${this.data.rows[current].id}`,
    })
  }

  drawAxis() {
    const [from, to] = this.state.window
    const room = this.axis.clientWidth || 600
    this.axis.replaceChildren(
      ...ticksOf(from, to, room / 110).map((at) => {
        const tick = make("span", "tick", durationText(at))
        const share = (at - from) / (to - from)
        tick.style.left = `${share * 100}%`
        if (share > 0.92) tick.classList.add("last")
        return tick
      }),
    )
  }

  drawLegend() {
    this.legend.replaceChildren(
      ...this.data.services.map((service) => {
        const entry = make("span", "entry", service.name)
        const dot = make("i", "dot")
        dot.style.background = service.colour
        entry.prepend(dot)
        return entry
      }),
      make("span", "entry path", "critical path"),
      make("span", "entry usual", "usual duration (p50)"),
    )
  }

  find(query) {
    this.match(query)
    if (this.state.matches.length) this.reveal(this.state.matches[0])
    this.tellFound()
    this.draw()
  }

  match(query) {
    const { state, data } = this
    state.matches = matchesOf(data.rows, data.services, query)
    state.matchSet = new Set(state.matches)
    this.tellFound()
  }

  tellFound() {
    const { matches, selected } = this.state
    const at = matches.indexOf(selected)
    this.found.textContent = !this.search.value.trim() ? "" : !matches.length ? "no match"
      : at < 0 ? `${matches.length} matches` : `${at + 1} of ${matches.length}`
  }

  // On the critical path first: only there does time over the baseline delay the whole trace.
  excesses() {
    const over = this.data.rows.map((row, index) => [row.excess_ns ?? 0, index]).filter(([excess]) => excess > 0)
    const critical = over.filter(([, index]) => this.data.rows[index].critical)
    return (critical.length ? critical : over).sort((a, b) => b[0] - a[0]).map(([, index]) => index)
  }

  mostExcess() {
    const order = this.excesses()
    if (!order.length) return
    this.reveal(order[(order.indexOf(this.state.selected) + 1) % order.length])
    this.draw()
  }

  step(by) {
    const { matches, selected } = this.state
    if (!matches.length) return
    const at = matches.indexOf(selected)
    this.reveal(matches[(at + by + matches.length) % matches.length])
    this.tellFound()
    this.draw()
  }

  nextWhere(test, by = 1) {
    const { rows } = this.data
    const start = this.state.selected ?? (by > 0 ? -1 : rows.length)
    for (let n = 1; n <= rows.length; n++) {
      const index = (start + by * n + rows.length * 2) % rows.length
      if (test(rows[index])) {
        this.reveal(index)
        this.draw()
        return
      }
    }
  }

  // Selects a row, opens what hides it and scrolls it into the middle.
  reveal(index) {
    for (const ancestor of ancestorsOf(this.data.rows, index)) this.state.collapsed.delete(this.data.rows[ancestor].id)
    this.state.selected = index
    this.visible = visibleRows(this.data.rows, this.state.collapsed)
    this.tree.style.height = `${this.visible.length * ROW_PX}px`
    this.scroller.scrollTop = this.visible.indexOf(index) * ROW_PX - this.scroller.clientHeight / 2
  }

  select(index, drawer) {
    const again = this.state.selected === index && this.state.drawer
    this.state.selected = index
    this.state.drawer = drawer ? !again : this.state.drawer
    this.keepInView(index)
    this.drawRows()
    fillDrawer(this)
  }

  keepInView(index) {
    const top = this.visible.indexOf(index) * ROW_PX
    const { scrollTop, clientHeight } = this.scroller
    if (top < scrollTop) this.scroller.scrollTop = top
    if (top + ROW_PX > scrollTop + clientHeight) this.scroller.scrollTop = top + ROW_PX - clientHeight
  }

  closeDrawer() {
    this.state.drawer = false
    fillDrawer(this)
    this.tree.focus()
  }

  toggle(index, open = this.state.collapsed.has(this.data.rows[index].id)) {
    const { id, end } = this.data.rows[index]
    if (end === index + 1) return
    if (open) this.state.collapsed.delete(id)
    else this.state.collapsed.add(id)
    this.draw()
  }

  expandAll() {
    this.state.collapsed.clear()
    this.draw()
  }

  collapseAll() {
    const { rows } = this.data
    this.state.collapsed = new Set(rows.filter((row, index) => row.end > index + 1 && row.depth > 0).map((row) => row.id))
    const { selected } = this.state
    if (selected !== null && !visibleRows(rows, this.state.collapsed).includes(selected)) this.state.selected = 0
    this.draw()
  }

  zoom(from, to) {
    this.state.window = clampWindow(from, to, this.data.total_ns)
    this.draw()
  }

  move(by) {
    const at = this.state.selected === null ? -1 : this.visible.indexOf(this.state.selected)
    const next = Math.min(Math.max(at + by, 0), this.visible.length - 1)
    this.select(this.visible[next], false)
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const { rows, total_ns } = this.data
    const { selected, window: span, collapsed } = this.state
    const [from, to] = span
    const size = to - from
    const row = selected === null ? null : rows[selected]
    const actions = {
      ArrowDown: () => this.move(1), s: () => this.move(1), f: () => this.move(1),
      ArrowUp: () => this.move(-1), w: () => this.move(-1), b: () => this.move(-1),
      PageDown: () => this.move(this.rowCount), PageUp: () => this.move(-this.rowCount),
      Home: () => this.move(-rows.length), End: () => this.move(rows.length),
      ArrowRight: () => row && (collapsed.has(row.id) ? this.toggle(selected, true) : this.move(1)),
      ArrowLeft: () => row && (row.end > selected + 1 && !collapsed.has(row.id)
        ? this.toggle(selected, false) : row.parent >= 0 && this.select(row.parent, false)),
      Enter: () => row && this.select(selected, true), " ": () => row && this.select(selected, true),
      "[": () => this.collapseAll(), "]": () => this.expandAll(),
      a: () => this.zoom(from - size / 4, to - size / 4), d: () => this.zoom(from + size / 4, to + size / 4),
      "+": () => this.zoom(from + size / 4, to - size / 4), "-": () => this.zoom(from - size / 2, to + size / 2),
      0: () => this.zoom(0, total_ns),
      e: () => this.nextWhere(failed), E: () => this.nextWhere(failed, -1), x: () => this.mostExcess(),
      n: () => this.step(1), N: () => this.step(-1), "/": () => this.search.focus(),
      Escape: () => (this.state.drawer ? this.closeDrawer() : this.find((this.search.value = ""))),
    }
    const action = actions[event.key]
    if (!action) return
    event.preventDefault()
    event.stopPropagation()
    action()
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".wf")
  if (!root || !data) return
  let view = views.get(root)
  if (!view) views.set(root, (view = new Waterfall(root)))
  const sent = decoded(data)
  view.update({ ...sent, rows: rowsOf(sent) })
  return () => {
    view.close()
    views.delete(root)
  }
}
