/** The time, once a second. The browser throttles it while the page is hidden. */
import { signal } from "@preact/signals";

/** Ours, in ms since 1970. */
export const now = signal(Date.now());

setInterval(() => (now.value = Date.now()), 1000);
