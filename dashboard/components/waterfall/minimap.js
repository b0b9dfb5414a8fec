// The whole trace in 44 pixels; dragging on it zooms the waterfall.

const MINIMAP_PX = 44

function drawMinimap(view) {
  const { canvas, data, state } = view
  const width = canvas.clientWidth || 600
  const ratio = window.devicePixelRatio || 1
  canvas.width = width * ratio
  canvas.height = MINIMAP_PX * ratio
  const pen = canvas.getContext("2d")
  pen.setTransform(ratio, 0, 0, ratio, 0, 0)
  pen.clearRect(0, 0, width, MINIMAP_PX)
  const step = Math.min(4, (MINIMAP_PX - 4) / Math.max(1, data.rows.length))
  data.rows.forEach((row, index) => {
    pen.fillStyle = row.failed ? "#FF7B72" : data.services[row.service].colour
    pen.globalAlpha = row.critical ? 1 : 0.55
    const x = (row.offset_ns / data.total_ns) * width
    pen.fillRect(x, 2 + index * step, Math.max(1, (row.duration_ns / data.total_ns) * width), Math.max(1, step - 1))
  })
  pen.globalAlpha = 0.65
  pen.fillStyle = "#0E1117"
  const [from, to] = state.window.map((ns) => (ns / data.total_ns) * width)
  pen.fillRect(0, 0, from, MINIMAP_PX)
  pen.fillRect(to, 0, width - to, MINIMAP_PX)
  pen.globalAlpha = 1
}

function connectMinimap(view) {
  const { canvas } = view
  let start = null
  const nsAt = (event) => {
    const box = canvas.getBoundingClientRect()
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * view.data.total_ns
  }
  canvas.onpointerdown = (event) => {
    start = nsAt(event)
    canvas.setPointerCapture(event.pointerId)
  }
  canvas.onpointermove = (event) => {
    if (start !== null) view.zoom(Math.min(start, nsAt(event)), Math.max(start, nsAt(event)))
  }
  canvas.onpointerup = (event) => {
    if (start !== null && Math.abs(nsAt(event) - start) < view.data.total_ns * 0.005) view.zoom(0, view.data.total_ns)
    start = null
  }
  canvas.ondblclick = () => view.zoom(0, view.data.total_ns)
}
