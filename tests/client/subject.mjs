// The JavaScript client, told by lines of JSON what to do; it tells what it hears in lines of JSON.
import { createInterface } from "node:readline";
import { RealtimeStreamClient } from "../../clients/js/src/index.ts";

const TYPES = [
  "state",
  "connection",
  "stock_updates",
  "snapshot_end",
  "gap",
  "lost",
  "status",
  "candle",
  "alert",
  "market_status",
  "connection_status",
  "data_provider_status",
  "subscription_confirmed",
  "authenticated",
  "pong",
  "heartbeat",
  "shutdown",
  "error",
  "novelty",
];
let client,
  begun = 0;
const print = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
// The client of a scenario that is over has nothing to tell.
const listener = (tell, number) => (message) => number === begun && tell(message);
// The Python client's names and seconds: one list of scenarios is for both.
const printState = ({ retryInMs, willReconnect, ...rest }) =>
  print({ ...rest, retry_in: retryInMs === null ? null : retryInMs / 1000, will_reconnect: willReconnect });

const actions = {
  begin({ url, token, attempts, patience, backoff, subscription }) {
    const inMs = Object.fromEntries(Object.entries(backoff).map(([name, seconds]) => [name, seconds * 1000]));
    const options = { backoff: inMs, patience: patience * 1000, jitter: () => 0 };
    if (token !== undefined) options.token = token;
    if (attempts !== undefined) options.attempts = attempts;
    client = new RealtimeStreamClient(url, options);
    begun += 1;
    for (const type of TYPES) client.subscribe(type, listener(type === "state" ? printState : print, begun));
    if (subscription) client.select(subscription);
    client.connect();
  },
  select: (subscription) => client.select(subscription),
  ping: () => client.ping(),
  status: () => client.requestStatus(),
  auth: (token) => client.authenticate(token),
  disconnect: () => client.disconnect(),
  end() {
    begun += 1;
    client?.disconnect();
    print({ type: "end" });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[action, what]] = Object.entries(JSON.parse(line));
  actions[action](what);
}
