/** The token of a gateway that asks for one: kept for this tab, sent as first message and as header, never in an address. */
import { signal } from "@preact/signals";

const KEY = "zlotick.token";

export const token = signal<string | null>(sessionStorage.getItem(KEY));
/** Whether the reader has to give one before anything is shown. */
export const tokenNeeded = signal(false);
/** Whether the last one was no good. */
export const tokenRefused = signal(false);

export function keepToken(value: string): void {
  sessionStorage.setItem(KEY, value);
  token.value = value;
  tokenNeeded.value = false;
}

/** The server does not take it (any more). */
export function forgetToken(): void {
  tokenRefused.value = token.value !== null;
  sessionStorage.removeItem(KEY);
  token.value = null;
  tokenNeeded.value = true;
}
