/** The moment, once a second. While the page is hidden the browser slows it. */
import { signal } from "@preact/signals";

/** Ours, in ms since 1970. */
export const now = signal(Date.now());

setInterval(() => (now.value = Date.now()), 1000);
