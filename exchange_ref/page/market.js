// Price, chart, book and tape of the pair that is looked at.
import { drawChart } from "./chart.js";
import { $, choice, clock, element, number, row } from "./dom.js";
import { Streams } from "./streams.js";
import { look } from "./wallet.js";

const LEVELS = 10;
const MAX_TRADES = 26;
const CANDLES = 120;
const INTERVALS = { "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000 };

export const shown = { pair: "", last: 0, interval: "1m", config: undefined };
let candles = [];
let asked = 0;

const streams = new Streams({ depth: drawBook, trade: takeTrade, ticker: drawTicker, state: tellState });
new ResizeObserver(() => draw()).observe($("chart"));

export function startMarket(config) {
  shown.config = config;
  choice($("pairs"), config.pairs.map(({ symbol }) => [symbol, symbol]), config.pairs[0].symbol, watch);
  choice($("intervals"), Object.keys(INTERVALS).map((name) => [name, name]), shown.interval, (interval) => {
    shown.interval = interval;
    void load("candles.load.client");
  });
  watch(config.pairs[0].symbol);
}

export const pairOf = (symbol = shown.pair) => shown.config.pairs.find((pair) => pair.symbol === symbol);

function watch(symbol) {
  shown.pair = symbol;
  candles = [];
  $("trades").replaceChildren();
  $("pair-name").textContent = symbol;
  document.querySelectorAll("[data-unit=base]").forEach((unit) => (unit.textContent = pairOf().base));
  streams.watch(symbol);
  dispatchEvent(new Event("kx-pair"));
  void load("market.load.client");
}

async function load(name) {
  asked += 1;
  const mine = asked;
  const pair = encodeURIComponent(shown.pair);
  try {
    const [read, trades, ticker] = await look(name, [
      `/api/v1/klines?pair=${pair}&interval=${shown.interval}&limit=${CANDLES}`,
      `/api/v1/trades?pair=${pair}&limit=${MAX_TRADES}`,
      `/api/v1/ticker/24hr?pair=${pair}`,
    ]);
    if (mine !== asked) return;
    candles = read;
    drawTicker(ticker);
    $("trades").replaceChildren(...trades.map(tradeRow));
    draw();
  } catch (error) {
    tellState(error.message);
  }
}

function draw() {
  if (shown.config) drawChart($("chart"), candles, shown.last, (price) => number(price, 2));
}

function tellState(text) {
  $("state").textContent = text;
  $("state").className = text === "live" ? "live" : "";
}

function takeTrade(trade) {
  shown.last = trade.price;
  $("last").textContent = number(trade.price, 2);
  $("last").className = `price ${trade.taker_side === "BUY" ? "rise" : "fall"}`;
  $("trades").prepend(tradeRow(trade));
  while ($("trades").children.length > MAX_TRADES) $("trades").lastChild.remove();
  const length = INTERVALS[shown.interval];
  const begin = Math.floor(new Date(trade.time).getTime() / length) * length;
  const newest = candles.at(-1);
  if (newest && new Date(newest.open_time).getTime() >= begin) {
    newest.high = Math.max(newest.high, trade.price);
    newest.low = Math.min(newest.low, trade.price);
    newest.close = trade.price;
    newest.volume += trade.quantity;
  } else {
    const { price, quantity } = trade;
    candles.push({ open_time: new Date(begin).toISOString(), open: price, high: price, low: price, close: price, volume: quantity });
    if (candles.length > CANDLES) candles.shift();
  }
  draw();
}

function tradeRow(trade) {
  const price = element("span", { text: number(trade.price, 2), className: trade.taker_side === "BUY" ? "rise" : "fall" });
  return row([price, quantityOf(trade.quantity), clock(trade.time)]);
}

function drawTicker(ticker) {
  if (ticker.pair !== shown.pair) return;
  shown.last = ticker.last_price;
  $("last").textContent = number(ticker.last_price, 2);
  document.title = `${number(ticker.last_price, 2)} ${shown.pair} · kx`;
  const change = ticker.change_percent;
  const figures = [
    ["24 h", change === null ? "–" : `${change > 0 ? "+" : ""}${number(change, 2)}%`, change > 0 ? "rise" : change < 0 ? "fall" : ""],
    ["High", number(ticker.high, 2)],
    ["Low", number(ticker.low, 2)],
    [`Volume ${pairOf().base}`, number(ticker.volume, 2)],
  ];
  $("day").replaceChildren(
    ...figures.map(([name, value, className = ""]) =>
      element("div", {}, element("dt", { text: name }), element("dd", { text: value, className })),
    ),
  );
  draw();
}

function drawBook(book) {
  const sides = {
    bids: [...book.bids].sort(([a], [b]) => b - a).slice(0, LEVELS),
    asks: [...book.asks].sort(([a], [b]) => a - b).slice(0, LEVELS),
  };
  const sum = (levels) => levels.reduce((total, [, quantity]) => total + quantity, 0);
  const most = Math.max(sum(sides.bids), sum(sides.asks)) || 1;
  for (const side of ["bids", "asks"]) {
    let total = 0;
    const rows = sides[side].map(([price, quantity]) => {
      total += quantity;
      const click = () => dispatchEvent(new CustomEvent("kx-price", { detail: price }));
      const made = row([number(price, 2), quantityOf(quantity), quantityOf(total)], { title: "Take this price", on: { click } });
      made.style.setProperty("--share", `${(total / most) * 100}%`);
      return made;
    });
    $(side).replaceChildren(...(side === "asks" ? rows.reverse() : rows));
  }
  const [bid, ask] = [sides.bids[0]?.[0], sides.asks[0]?.[0]];
  $("spread").textContent = bid && ask ? `spread ${number(ask - bid, 2)}` : "one side is empty";
}

const quantityOf = (quantity) => number(quantity, Math.min(5, pairOf().lot_digits));
