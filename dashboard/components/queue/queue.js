// The triage queue: an ARIA listbox. Redrawn at every live refresh without losing place or focus.

const queues = new WeakMap()

function itemNode(item, chosen, position, count, choose) {
  const node = make("div", "item")
  node.id = `item-${item.id}`
  node.classList.toggle("chosen", chosen)
  setAttributes(node, { role: "option", "aria-selected": chosen, "aria-setsize": count, "aria-posinset": position + 1 })
  const chip = make("span", "chip", item.chip)
  chip.style.background = item.colour
  node.append(
    chip, make("span", "title", item.title), make("span", "figure", item.figure),
    make("span", "state", item.state), make("span", "note", item.note), make("span", "when", item.when),
  )
  node.lastChild.style.gridRow = "2"
  node.lastChild.style.gridColumn = "3"
  node.onclick = () => choose(item.id)
  return node
}

function drawQueue(root, queue) {
  const { data } = queue
  const nodes = []
  queue.items = data.sections.flatMap((section) => section.items)
  let position = 0
  for (const section of data.sections) {
    const group = setAttributes(make("div", "group"), { role: "group", "aria-label": section.title })
    const head = setAttributes(make("div", "section", section.title), { role: "presentation" })
    group.append(head)
    for (const item of section.items) {
      const node = itemNode(item, item.id === data.chosen, position, queue.items.length, queue.choose)
      if (position === queue.current) node.classList.add("current")
      group.append(node)
      position += 1
    }
    if (section.items.length) nodes.push(group)
  }
  if (!nodes.length) nodes.push(setAttributes(make("div", "empty", data.empty), { role: "presentation" }))
  const top = root.scrollTop
  root.replaceChildren(...nodes)
  root.scrollTop = top
  const current = queue.items[queue.current]
  // A list without options is none.
  root.setAttribute("role", queue.items.length ? "listbox" : "group")
  setAttributes(root, { "aria-activedescendant": current ? `item-${current.id}` : null })
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".queue")
  if (!root || !data) return
  const queue = queues.get(root) ?? { current: -1 }
  const followed = queue.items?.[queue.current]?.id
  queue.data = data
  // Marked at once: the rest of the page follows when the server has answered.
  queue.choose = (id) => {
    queue.current = queue.items.findIndex((item) => item.id === id)
    queue.data = { ...queue.data, chosen: id }
    drawQueue(root, queue)
    setTriggerValue("chosen", id)
  }
  queue.items = data.sections.flatMap((section) => section.items)
  // New rows push the others down: the place follows its row, not its number.
  queue.current = queue.items.findIndex((item) => item.id === (followed ?? data.chosen))
  queues.set(root, queue)
  root.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const step = { ArrowDown: 1, j: 1, s: 1, ArrowUp: -1, k: -1, w: -1 }[event.key]
    if (step) queue.current = Math.min(Math.max(queue.current + step, 0), queue.items.length - 1)
    else if (event.key !== "Enter" && event.key !== " ") return
    event.preventDefault()
    event.stopPropagation()
    if (!step && queue.items[queue.current]) queue.choose(queue.items[queue.current].id)
    drawQueue(root, queue)
    root.querySelector(".current")?.scrollIntoView({ block: "nearest" })
  }
  drawQueue(root, queue)
  return () => queues.delete(root)
}
