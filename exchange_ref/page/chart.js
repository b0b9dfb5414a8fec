// Candles of a pair as SVG, the last price as a line.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 12, right: 80, bottom: 22, left: 8 };
const MIN_SPAN = 0.0005;

export function drawChart(svg, candles, last, format) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  if (!candles.length || !width) {
    text(svg, width / 2, height / 2, "No trades yet", "note", "middle");
    return;
  }
  const prices = [...candles.flatMap((candle) => [candle.low, candle.high]), last];
  const middle = (Math.min(...prices) + Math.max(...prices)) / 2;
  const half = Math.max((Math.max(...prices) - Math.min(...prices)) * 0.55, (middle * MIN_SPAN) / 2);
  const [plotWidth, plotHeight] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
  const y = (price) => MARGIN.top + ((middle + half - price) / (2 * half)) * plotHeight;
  const step = plotWidth / Math.max(candles.length, 30);
  const x = (index) => MARGIN.left + plotWidth - (candles.length - index - 0.5) * step;
  for (let line = 0; line <= 4; line += 1) {
    const price = middle + half - (line / 4) * 2 * half;
    rule(svg, MARGIN.left, y(price), width - MARGIN.right, y(price), "grid");
    text(svg, width - MARGIN.right + 6, y(price) + 4, format(price), "tick");
  }
  const every = Math.ceil(candles.length / Math.max(2, plotWidth / 90));
  candles.forEach((candle, index) => {
    const way = candle.close >= candle.open ? "up" : "down";
    const body = shape(svg, "g", { class: `candle ${way}` });
    rule(body, x(index), y(candle.high), x(index), y(candle.low), "wick");
    const [top, bottom] = [y(Math.max(candle.open, candle.close)), y(Math.min(candle.open, candle.close))];
    const barWidth = Math.max(1, step * 0.66);
    shape(body, "rect", { x: x(index) - barWidth / 2, y: top, width: barWidth, height: Math.max(1, bottom - top) });
    const title = shape(body, "title", {});
    title.textContent =
      `${clock(candle.open_time)}  open ${format(candle.open)}  high ${format(candle.high)}  ` +
      `low ${format(candle.low)}  close ${format(candle.close)}  volume ${candle.volume.toPrecision(4)}`;
    if ((candles.length - 1 - index) % every === 0 && x(index) > 24)
      text(svg, x(index), height - 6, clock(candle.open_time), "tick", "middle");
  });
  rule(svg, MARGIN.left, y(last), width - MARGIN.right, y(last), "last");
  shape(svg, "rect", { class: "tag", x: width - MARGIN.right + 1, y: y(last) - 9, width: MARGIN.right - 2, height: 18, rx: 3 });
  text(svg, width - MARGIN.right + 6, y(last) + 4, format(last), "tagged");
}

const clock = (time) => new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

function shape(parent, name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return parent.appendChild(made);
}

const rule = (parent, x1, y1, x2, y2, name) => shape(parent, "line", { x1, y1, x2, y2, class: name });

function text(parent, x, y, words, name, anchor = "start") {
  shape(parent, "text", { x, y, class: name, "text-anchor": anchor }).textContent = words;
}
