// The gateway's WebSocket: depth kept whole by its diffs, trades, tickers. A gap begins anew with a snapshot.

const RETRY_MS = 1_000;

export class Streams {
  // `on` has depth(book), trade(trade), ticker(ticker) and state(text).
  constructor(on) {
    this.on = on;
    this.pair = "";
    this.socket = undefined;
  }

  watch(pair) {
    this.pair = pair;
    this.connect();
  }

  connect() {
    const old = this.socket;
    this.socket = undefined;
    old?.close();
    const names = ["depth", "trade", "ticker"].map((kind) => `${kind}@${this.pair}`).join(",");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws?streams=${encodeURIComponent(names)}`);
    this.socket = socket;
    this.book = undefined;
    socket.onopen = () => this.on.state("live");
    socket.onmessage = ({ data }) => socket === this.socket && this.take(JSON.parse(data));
    socket.onclose = ({ reason }) => {
      if (socket !== this.socket) return;
      this.on.state(reason || "connection lost, trying again");
      setTimeout(() => socket === this.socket && this.connect(), RETRY_MS);
    };
  }

  take({ stream, data }) {
    if (!stream) return;
    const kind = stream.split("@")[0];
    if (kind !== "depth") {
      this.on[kind](data);
      return;
    }
    if (data.type === "snapshot") this.book = { id: data.last_update_id, bids: new Map(data.bids), asks: new Map(data.asks) };
    else if (!this.book || data.first_update_id !== this.book.id + 1) {
      this.on.state("a gap in the depth stream, beginning anew");
      this.connect();
      return;
    } else {
      this.book.id = data.last_update_id;
      for (const side of ["bids", "asks"]) {
        for (const [price, quantity] of data[side]) {
          if (quantity) this.book[side].set(price, quantity);
          else this.book[side].delete(price);
        }
      }
    }
    this.on.depth(this.book);
  }
}
