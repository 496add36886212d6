/** What the reader chose, kept in the browser. A browser that keeps nothing (private mode) still has a board. */
import { effect, signal, type Signal } from "@preact/signals";
import type { Locale } from "../i18n/index.ts";

export type Theme = "system" | "light" | "dark";

function kept<T>(name: string, initial: T, isGood: (value: unknown) => value is T): Signal<T> {
  const key = `zlotick.${name}`;
  const choice = signal(read(key, initial, isGood));
  effect(() => {
    try {
      localStorage.setItem(key, JSON.stringify(choice.value));
    } catch {
      // full or forbidden: the choice lasts as long as the page
    }
  });
  return choice;
}

function read<T>(key: string, initial: T, isGood: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "null");
    return isGood(value) ? value : initial;
  } catch {
    return initial;
  }
}

const isOneOf =
  <T extends string>(...words: T[]) =>
  (value: unknown): value is T =>
    words.includes(value as T);

const areTickers = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

const isLocale = isOneOf<Locale>("en", "pl");
const spoken = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find(isLocale) ?? "en";

export const locale = kept<Locale>("locale", spoken, isLocale);
export const theme = kept<Theme>("theme", "system", isOneOf("system", "light", "dark"));
export const watchList = kept<readonly string[]>("watchList", [], areTickers);

export function toggleWatched(symbol: string): void {
  const list = watchList.value;
  watchList.value = list.includes(symbol) ? list.filter((one) => one !== symbol) : [...list, symbol].sort();
}
