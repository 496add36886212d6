/** An alert in words. */
import type { Alert } from "@zlotick/client";
import { number, price } from "../i18n/format.ts";
import { languageTag } from "../i18n/index.ts";
import { isKey, p } from "./strings.ts";

/** The alert in the user's language, if its condition is known.  */
export function sentence({ condition, symbol, observed, threshold, message }: Alert): string {
  const key = `alert_${condition}`;
  if (!isKey(key) || symbol === null || typeof observed !== "number") return message;
  const tag = languageTag.value;
  const write = (value: number | null) => (condition === "volume_above" ? number(value, 0, tag) : price(value, tag));
  return p(key, { symbol, observed: write(observed), threshold: write(threshold) });
}
