// Small helpers around the document. Texts are set as texts, so nothing that is told can become markup.

export const $ = (id) => document.getElementById(id);

export function element(name, { text, on = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  for (const [type, listener] of Object.entries(on)) made.addEventListener(type, listener);
  made.append(...children);
  return made;
}

export function row(cells, properties = {}) {
  const asCell = (cell) => (cell instanceof Node ? element("td", {}, cell) : element("td", { text: cell ?? "–" }));
  return element("tr", properties, ...cells.map(asCell));
}

// Buttons of which one is pressed; `chosen` learns which.
export function choice(group, options, pressed, chosen) {
  group.replaceChildren(
    ...options.map(([value, text]) => {
      const button = element("button", { text, type: "button", value, on: { click: () => (press(group, button), chosen(value)) } });
      button.setAttribute("aria-pressed", String(value === pressed));
      return button;
    }),
  );
}

export function press(group, button) {
  for (const other of group.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
}

// A group of buttons, each of which shows one part and hides those of the others.
export function tabs(group) {
  const buttons = [...group.querySelectorAll("button[data-shows]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      press(group, button);
      for (const other of buttons) $(other.dataset.shows).hidden = other !== button;
    });
  }
}

export const number = (value, digits) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const amount = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 8 });
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

const MAX_NOTICES = 5;

// What came of it, with the trace that shows how.
export function notice(text, { bad = false, traceId, traceUrl } = {}) {
  const made = element("div", { className: bad ? "notice bad" : "notice", text });
  if (traceId) {
    const named = traceUrl
      ? element("a", { text: traceId, href: traceUrl.replace("{trace_id}", traceId), target: "_blank", rel: "noreferrer" })
      : element("code", { text: traceId });
    made.append(element("small", { text: "trace " }, named));
  }
  $("notices").prepend(made);
  while ($("notices").children.length > MAX_NOTICES) $("notices").lastChild.remove();
}
