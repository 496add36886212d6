/**
 * The user's preferences, kept in localStorage and shared by all tabs. Without localStorage (private mode) they last as
 * long as the page.
 */
import { type Signal, signal } from "@preact/signals";

export type Locale = "en" | "pl";
export type Theme = "system" | "light" | "dark";

class Preference<T> {
  private readonly key: string;
  private readonly initial: T;
  private readonly isGood: (value: unknown) => value is T;
  private readonly choice: Signal<T>;

  constructor(name: string, initial: T, isGood: (value: unknown) => value is T) {
    this.key = `zlotick.${name}`;
    this.initial = initial;
    this.isGood = isGood;
    this.choice = signal(this.read() ?? initial);
    addEventListener("storage", ({ key }) => {
      if (key === this.key || key === null) this.choice.value = this.read() ?? this.initial; // null: all was cleared
    });
  }

  get value(): T {
    return this.choice.value;
  }

  /** Change the stored value, which another tab may have changed since. */
  change(to: (before: T) => T): void {
    this.choice.value = to(this.read() ?? this.choice.peek());
    try {
      localStorage.setItem(this.key, JSON.stringify(this.choice.peek()));
    } catch {
      // full or forbidden
    }
  }

  private read(): T | null {
    try {
      const value: unknown = JSON.parse(localStorage.getItem(this.key) ?? "null");
      return this.isGood(value) ? value : null;
    } catch {
      return null;
    }
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

export const locale = new Preference<Locale>("locale", spoken, isLocale);
export const theme = new Preference<Theme>("theme", "system", isOneOf("system", "light", "dark"));
export const watchList = new Preference<readonly string[]>("watchList", [], areTickers);

/** The star of this tab decides, even if another tab changed the list since. */
export function toggleWatched(symbol: string): void {
  const watched = watchList.value.includes(symbol);
  watchList.change((list) => {
    const others = list.filter((one) => one !== symbol);
    return watched ? others : [...others, symbol].sort();
  });
}
