// The bar: the state in one sentence, a box for a trace id or a search, the age of what is shown, keys; and links
// of this dashboard anywhere on the page, which change the page without loading it again.

const TICK_MS = 1000

function secondsText(seconds) {
  if (seconds < 90) return `${seconds} s`
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min`
  return seconds < 129600 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`
}

// Each element with data-at says how old its data is; past data-late it says so in words and colour.
function tickAges(root) {
  for (const node of root.querySelectorAll("[data-at]")) {
    const seconds = Math.max(0, Math.round((Date.now() - Number(node.dataset.at)) / 1000))
    const late = Number(node.dataset.late) > 0 && seconds > Number(node.dataset.late)
    const text = `${late ? "stale: " : ""}${node.dataset.word ?? "updated"} ${secondsText(seconds)} ago`
    if (node.textContent !== text) node.textContent = text
    node.classList.toggle("stale", late)
  }
}

function ownLink(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return null
  const anchor = event.composedPath().find((node) => node.tagName === "A" && node.getAttribute("href"))
  if (!anchor || anchor.hasAttribute("download") || (anchor.target && anchor.target !== "_self")) return null
  const url = new URL(anchor.getAttribute("href"), window.location.href)
  const paths = window.spyhopBar?.data?.paths ?? []
  return url.origin === window.location.origin && paths.includes(url.pathname.replace(/^\//, "")) ? url : null
}

function typing(event) {
  const node = event.composedPath()[0]
  return node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName ?? "")
}

function showKeys(dialog, sections) {
  const parts = []
  for (const section of sections) {
    const table = make("table")
    for (const [key, meaning] of section.keys) {
      const line = make("tr")
      const cell = make("td")
      cell.append(make("kbd", "", key))
      line.append(cell, make("td", "", meaning))
      table.append(line)
    }
    parts.push(make("h2", "", section.title), table)
  }
  const close = button("Close", "Close (Esc)", () => dialog.close())
  close.className = "help"
  close.style.width = "auto"
  dialog.replaceChildren(...parts, close)
  dialog.showModal()
}

// Listeners of the whole page exist once; they speak for the bar that was drawn last.
function connectPage() {
  document.addEventListener("click", (event) => {
    const url = ownLink(event)
    if (!url || !window.spyhopBar) return
    event.preventDefault()
    window.spyhopBar.go(url.pathname + url.search)
  })
  let leader = 0
  document.addEventListener("keydown", (event) => {
    const bar = window.spyhopBar
    if (!bar || event.ctrlKey || event.metaKey || event.altKey || typing(event)) return
    const led = Date.now() - leader < 1500
    leader = event.key === "g" ? Date.now() : 0
    const target = led && bar.data.shortcuts[event.key]
    if (target !== undefined && target !== false) bar.go(`/${target}`)
    else if (event.key === "?") showKeys(bar.dialog, bar.data.keys)
    else if (event.key === "/" && !event.defaultPrevented) bar.input.focus()
    else return
    event.preventDefault()
  })
  setInterval(() => {
    tickAges(document)
    if (window.spyhopBar) tickAges(window.spyhopBar.root)
  }, TICK_MS)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".bar")
  if (!root || !data) return
  const state = root.querySelector(".state")
  const age = root.querySelector(".age")
  const input = root.querySelector("input")
  root.className = `bar ${data.tone}`
  const icon = make("b", "", data.icon)
  icon.setAttribute("aria-hidden", "true")
  state.replaceChildren(icon, document.createTextNode(data.text))
  state.href = data.href
  Object.assign(age.dataset, { at: data.at_ms, late: data.late_s, word: data.word })
  const first = !window.spyhopBar
  const go = (href) => setTriggerValue("go", href)
  window.spyhopBar = { root, data, input, go, dialog: root.querySelector("dialog") }
  if (first) connectPage()
  tickAges(root)
  tickAges(document)
  root.querySelector("form").onsubmit = (event) => {
    event.preventDefault()
    if (input.value.trim()) setTriggerValue("find", input.value.trim())
  }
  root.querySelector(".help").onclick = () => showKeys(root.querySelector("dialog"), data.keys)
}
