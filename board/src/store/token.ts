/** The token for a gateway that requires one: kept in sessionStorage, sent as first message and as header, never in a URL. */
import { signal } from "@preact/signals";

const KEY = "zlotick.token";

export const token = signal<string | null>(sessionStorage.getItem(KEY));
/** Whether the user must enter one before anything is shown. */
export const tokenNeeded = signal(false);
/** Whether the server rejected the last one. */
export const tokenRejected = signal(false);

export function keepToken(value: string): void {
  sessionStorage.setItem(KEY, value);
  token.value = value;
  tokenNeeded.value = false;
}

/** The server rejected it. */
export function forgetToken(): void {
  tokenRejected.value = token.value !== null;
  sessionStorage.removeItem(KEY);
  token.value = null;
  tokenNeeded.value = true;
}
