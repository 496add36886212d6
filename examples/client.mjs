// The guide's JavaScript client: `node examples/client.mjs` (Node 22 or newer), or paste it into a page.
// One line differs from the guide: `${stock.change_percent:+.2f}` is Python, not JavaScript.

class RealtimeStreamClient {
  constructor(url = "ws://localhost:8765") {
    this.url = url;
    this.ws = null;
    this.subscribers = {};
    this.reconnectAttempts = 0;
    this.maxReconnectAttempts = 5;
  }

  connect() {
    this.ws = new WebSocket(this.url);
    this.ws.onopen = () => {
      console.log("✅ Connected to real-time stream");
      this.reconnectAttempts = 0;
      this.send({ type: "subscribe" });
    };
    this.ws.onmessage = (event) => this.handleMessage(JSON.parse(event.data));
    this.ws.onclose = () => {
      console.log("🔌 Disconnected from stream");
      this.attemptReconnect();
    };
    this.ws.onerror = (error) => console.error("❌ WebSocket error:", error.message ?? error.type);
  }

  handleMessage(data) {
    if (data.type === "error") console.error("Server error:", data.message);
    for (const callback of this.subscribers[data.type] ?? []) callback(data);
  }

  subscribe(eventType, callback) {
    (this.subscribers[eventType] ??= []).push(callback);
  }

  send(message) {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
  }

  requestStatus() {
    this.send({ type: "status" });
  }

  ping() {
    this.send({ type: "ping" });
  }

  attemptReconnect() {
    if (this.reconnectAttempts >= this.maxReconnectAttempts) return;
    this.reconnectAttempts += 1;
    console.log(`🔄 Reconnecting... (${this.reconnectAttempts}/${this.maxReconnectAttempts})`);
    setTimeout(() => this.connect(), 2000 * this.reconnectAttempts);
  }
}

const client = new RealtimeStreamClient(globalThis.process?.argv[2]);
client.subscribe("connection", (data) => console.log("🔗 Connection status:", data.status, `(${data.origin})`));
client.subscribe("stock_updates", (data) => {
  console.log("📊 Received stock updates:", data.count, "stocks");
  for (const stock of data.data) {
    const change = stock.change_percent === null ? "" : ` (${stock.change_percent.toFixed(2)}%)`;
    console.log(`${stock.symbol}: ${stock.price}${change}`);
  }
});
client.connect();
