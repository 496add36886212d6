/** The state of the board, as signals. */
export * from "./api.ts";
export * from "./breadth.ts";
export * from "./connection.ts";
export * from "./events.ts";
export { connectNow, newClient, open, start } from "./feed.ts";
export * from "./market.ts";
export * from "./names.ts";
export { now } from "./now.ts";
export * from "./preferences.ts";
export { quoteOf, quotes, symbols } from "./quotes.ts";
export * from "./token.ts";
export * from "./view.ts";
