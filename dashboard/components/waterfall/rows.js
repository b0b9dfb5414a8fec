// A trace as it was sent: columns become rows, and the details that follow are kept until their picture takes them.

const FLAGS = { failed: 1, critical: 2, orphan: 4, outlives: 8, anomalous: 16 } // as in model.py
const NO_DETAILS = { attributes: [], events: [], message: "" }
const TRACES_KEPT = 4

const decoded = (bytes) => JSON.parse(new TextDecoder().decode(bytes))

// For each row of a depth-first list: the index after its last descendant, its parent (-1: none), and its place
// among its siblings, from 1.
function placesOf(depths) {
  const end = new Array(depths.length).fill(depths.length)
  const parent = new Array(depths.length)
  const posinset = new Array(depths.length)
  const children = new Map()
  const open = []
  for (let index = 0; index < depths.length; index++) {
    while (open.length && depths[open[open.length - 1]] >= depths[index]) end[open.pop()] = index
    parent[index] = open.length ? open[open.length - 1] : -1
    posinset[index] = (children.get(parent[index]) ?? 0) + 1
    children.set(parent[index], posinset[index])
    open.push(index)
  }
  return { end, parent, posinset, setsize: parent.map((above) => children.get(above)) }
}

function rowsOf({ columns, names, excess_texts }) {
  const places = placesOf(columns.depth)
  return columns.id.map((id, i) => {
    const flags = columns.flags[i]
    return {
      id, depth: columns.depth[i], service: columns.service[i], name: names[columns.name[i]],
      offset_ns: columns.offset_ns[i], duration_ns: columns.duration_ns[i], p50_ns: columns.p50_ns[i],
      excess_ns: columns.excess_ns[i], excess_text: excess_texts[i] ?? "",
      failed: Boolean(flags & FLAGS.failed), critical: Boolean(flags & FLAGS.critical),
      orphan: Boolean(flags & FLAGS.orphan), outlives: Boolean(flags & FLAGS.outlives),
      anomalous: Boolean(flags & FLAGS.anomalous),
      end: places.end[i], parent: places.parent[i], posinset: places.posinset[i], setsize: places.setsize[i],
      ...NO_DETAILS,
    }
  })
}

// The two components are two modules, so what one was sent for the other lies at the window.
function keptDetails() {
  return (window.spyhopDetails ??= new Map())
}

function keepDetails(sent) {
  const kept = keptDetails()
  kept.delete(sent.version)
  kept.set(sent.version, sent)
  while (kept.size > TRACES_KEPT) kept.delete(kept.keys().next().value)
  window.dispatchEvent(new CustomEvent("spyhop-details", { detail: sent.version }))
}
