// A text box for a query, with completion of what has landed, and errors at their place.

const SHOWN = 40

// The word before the caret, and, after a comparison, the field whose values are asked for.
function askedAt(text, caret, valuesOf) {
  const before = text.slice(0, caret)
  if (valuesOf) {
    const value = before.match(/([\w.:\-/]+)\s*(?:=~|!~|!=|>=|<=|=|>|<)\s*("?)([^"\s{}()&|]*)$/)
    if (value) return { field: value[1], word: value[3], from: caret - value[3].length - value[2].length }
  }
  const word = before.match(/[\w.:\-/]*$/)[0]
  return { field: null, word, from: caret - word.length }
}

function candidatesFor(asked, data) {
  const word = asked.word.toLowerCase()
  const list = asked.field === null ? data.words : data.values[asked.field] ?? []
  if (asked.field === null && word.length < 1) return []
  const starts = list.filter((each) => each.text.toLowerCase().replace(/^"/, "").startsWith(word))
  const holds = list.filter((each) => !starts.includes(each) && each.text.toLowerCase().includes(word))
  return [...starts, ...holds].slice(0, SHOWN)
}

class Editor {
  constructor(root) {
    this.root = root
    this.area = root.querySelector("textarea")
    this.list = root.querySelector("ul")
    this.items = []
    this.current = -1
    this.area.oninput = () => this.complete()
    this.area.onkeydown = (event) => this.onKey(event)
    this.area.onblur = () => setTimeout(() => this.close(), 150)
    root.querySelector(".run").onclick = () => this.run()
  }

  update(data, send, ask) {
    const fresh = this.sent !== data.value
    Object.assign(this, { data, send, ask })
    if (fresh) this.area.value = data.value
    this.sent = data.value
    this.area.rows = data.rows
    this.area.placeholder = data.placeholder
    this.area.setAttribute("aria-label", data.label)
    const error = this.root.querySelector(".err")
    error.hidden = !data.error
    error.textContent = data.error ? this.errorText() : ""
    if (this.waiting && data.values[this.waiting]) {
      this.waiting = null
      if (this.root.getRootNode().activeElement === this.area) this.complete()
    }
  }

  errorText() {
    const { error, line, column, value } = this.data
    const shown = line ? value.split("\n")[line - 1] : null
    return shown === null || shown === undefined || !column ? error : `${shown}\n${" ".repeat(column - 1)}^ ${error}`
  }

  complete() {
    const asked = askedAt(this.area.value, this.area.selectionStart, this.data.has_values)
    this.asked = asked
    if (asked.field && !this.data.values[asked.field] && this.waiting !== asked.field) {
      this.waiting = asked.field
      this.ask(asked.field)
    }
    this.items = candidatesFor(asked, this.data)
    this.current = this.items.length ? 0 : -1
    this.draw()
  }

  draw() {
    this.list.hidden = !this.items.length
    this.list.style.setProperty("--below", `${this.area.offsetHeight + 2}px`)
    this.list.replaceChildren(
      ...this.items.map((item, index) => {
        const node = setAttributes(make("li", "", item.text), { role: "option", id: `ed-${index}`, "aria-selected": index === this.current })
        if (item.note) node.append(make("span", "", item.note))
        node.onmousedown = (event) => {
          event.preventDefault()
          this.take(index)
        }
        return node
      }),
    )
    setAttributes(this.area, { "aria-activedescendant": this.current >= 0 ? `ed-${this.current}` : null })
  }

  take(index) {
    const { area, asked } = this
    const text = this.items[index].text
    const rest = area.value.slice(area.selectionStart).replace(asked.field ? /^[^\s{}()&|]*/ : /^[\w.:\-/]*/, "")
    area.value = area.value.slice(0, asked.from) + text + rest
    area.selectionStart = area.selectionEnd = asked.from + text.length
    this.close()
  }

  close() {
    this.items = []
    this.current = -1
    this.draw()
  }

  run() {
    this.close()
    this.sent = this.area.value
    this.send(this.area.value)
  }

  onKey(event) {
    const open = this.items.length > 0
    const runs = event.key === "Enter" && (this.data.rows === 1 ? !event.shiftKey : event.ctrlKey || event.metaKey)
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      this.current = (this.current + (event.key === "ArrowDown" ? 1 : -1) + this.items.length) % this.items.length
      this.draw()
      this.list.children[this.current].scrollIntoView({ block: "nearest" })
    } else if (open && event.key === "Tab") this.take(this.current)
    else if (open && event.key === "Escape") this.close()
    else if (runs) this.run()
    else return
    event.preventDefault()
    event.stopPropagation()
  }
}

const editors = new WeakMap()

export default function ({ data, parentElement, setTriggerValue, setStateValue }) {
  const root = parentElement.querySelector(".ed")
  if (!root || !data) return
  if (!editors.has(root)) editors.set(root, new Editor(root))
  editors.get(root).update(data, (text) => setTriggerValue("sent", text), (field) => setStateValue("asked", field))
}
