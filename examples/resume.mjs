// Follows the changes and resumes after a break of the connection or the service, with zlotick's own client.
// `node examples/resume.mjs` (Node 22.18 or newer, which read TypeScript; for older ones and pages: clients/js/README.md)

import { RealtimeStreamClient } from "../clients/js/src/index.ts";

const client = new RealtimeStreamClient(process.argv[2]);
client.subscribe("stock_updates", ({ snapshot, position, count }) => {
  console.log(`📊 ${snapshot ? "snapshot" : "changes"} at ${JSON.stringify(position)}: ${count} stocks`);
});
client.subscribe("gap", ({ reason }) => console.log(`❌ Some messages cannot be recovered: ${reason}`));
client.subscribe("state", ({ state, reason }) => console.log(`🔌 ${state} ${reason}`));
client.select({ mode: "changes" });
client.connect();
