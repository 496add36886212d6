/** What the reader looks at. */
import { signal } from "@preact/signals";

export type Filter = "all" | "watched" | "up" | "down";
export type Column = "symbol" | "price" | "change" | "change_percent" | "volume" | "range" | "age";

/** The stock whose details are open. */
export const selected = signal<string | null>(null);
export const filter = signal<Filter>("all");
export const search = signal("");
export const sort = signal<{ column: Column; descending: boolean }>({ column: "symbol", descending: false });
