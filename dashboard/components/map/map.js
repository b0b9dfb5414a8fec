// The services as boxes that are links, and the calls between them as arrows. Places come from the server's side.

const SVG = "http://www.w3.org/2000/svg"

function svgNode(name, attributes) {
  return setAttributes(document.createElementNS(SVG, name), attributes)
}

function arrowHead(id, colour) {
  const marker = svgNode("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" })
  marker.append(svgNode("path", { d: "M0 0 L8 4 L0 8 z", fill: colour }))
  return marker
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".map")
  if (!root || !data) return
  root.style.height = `${Math.min(data.height, 640)}px`
  const svg = svgNode("svg", { width: data.width, height: data.height, "aria-hidden": "true" })
  const heads = svgNode("defs", {})
  heads.append(arrowHead("head", "#6E7681"), arrowHead("head-bad", "#FF7B72"))
  svg.append(heads)
  const labels = []
  for (const edge of data.edges) {
    const [x1, y1, x2, y2] = edge.line
    const bend = Math.max(40, Math.abs(x2 - x1) / 2)
    svg.append(svgNode("path", {
      d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, fill: "none",
      stroke: edge.bad ? "#FF7B72" : "#6E7681", "stroke-width": edge.width, "marker-end": `url(#${edge.bad ? "head-bad" : "head"})`,
    }))
    const label = make("div", `edge${edge.bad ? " bad" : ""}`, edge.label)
    label.style.left = `${(x1 + x2) / 2}px`
    label.style.top = `${(y1 + y2) / 2}px`
    labels.push(label)
  }
  const nodes = data.nodes.map((node) => {
    const box = make("a", `node ${node.tone}`)
    Object.assign(box.style, { left: `${node.x}px`, top: `${node.y}px`, width: `${data.node_width}px`, height: `${data.node_height}px` })
    if (!node.tone) box.style.borderColor = node.colour
    box.href = node.href
    box.target = "_self"
    box.append(make("b", "", node.name), make("span", "fig", node.figures))
    return box
  })
  root.replaceChildren(svg, ...labels, ...nodes)
}
