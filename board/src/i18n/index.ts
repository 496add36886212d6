import { computed } from "@preact/signals";
import { type Locale, locale } from "../store/preferences.ts";
import { en, pl } from "./words.ts";

type Words<K extends string> = Record<Locale, Record<K, string>>;
type Values = Readonly<Record<string, string | number>>;

/** A function that returns a text in the user's language; `{name}` in it is replaced by `values.name`. */
export function translator<K extends string>(words: Words<K>): (key: K, values?: Values) => string {
  return (key, values = {}) =>
    words[locale.value][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export const t = translator({ en, pl });
export type Key = keyof typeof en;

/** The text for a value of the protocol; an unknown value of a newer server is shown as it is. */
export function word(prefix: string, value: string, values?: Values): string {
  const key = prefix + value;
  return key in en ? t(key as Key, values) : value.replaceAll("_", " ");
}

/** The language tag for Intl: English as Europe writes it. */
export const languageTag = computed(() => (locale.value === "pl" ? "pl-PL" : "en-GB"));
