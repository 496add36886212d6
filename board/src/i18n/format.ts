/** Numbers and times as the reader's language writes them. What is unknown is an en dash, never 0. */

export const UNKNOWN = "–";
const MINUS = "\u2212";

const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(tag: string, digits: number, signDisplay: "negative" | "exceptZero"): Intl.NumberFormat {
  const key = `${tag} ${digits} ${signDisplay}`;
  let format = formats.get(key);
  if (!format) {
    const fraction = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(key, (format = new Intl.NumberFormat(tag, { ...fraction, signDisplay, useGrouping: "always" })));
  }
  return format;
}

type Unsure = number | null | undefined;

function written(value: Unsure, digits: number, tag: string, sign: "negative" | "exceptZero"): string {
  if (value == null || !Number.isFinite(value)) return UNKNOWN;
  return numberFormat(tag, digits, sign).format(value).replace("-", MINUS);
}

export function number(value: Unsure, digits: number, tag: string): string {
  return written(value, digits, tag, "negative");
}

/** A price in PLN: grosze, and more digits where the tick is finer. */
export function price(value: Unsure, tag: string, digits = digitsOf([value])): string {
  return number(value, digits, tag);
}

/** With its sign, also for a rise; what is shown as nothing has none. */
export function signed(value: Unsure, tag: string, digits = digitsOf([value])): string {
  return written(value, digits, tag, "exceptZero");
}

export function percent(value: Unsure, tag: string): string {
  return value == null ? UNKNOWN : `${signed(value, tag, 2)}\u00a0%`;
}

/** How many digits after the comma show all of these, from 2 to 4. */
export function digitsOf(values: readonly Unsure[]): number {
  const fits = (digits: number) => (value: Unsure) => {
    const units = (value ?? 0) * 10 ** digits;
    return Math.abs(units - Math.round(units)) < 1e-6;
  };
  return [2, 3].find((digits) => values.every(fits(digits))) ?? 4;
}

const times = new Map<string, Intl.DateTimeFormat>();

/** A moment on the Warsaw clock. */
export function warsawTime(moment: number, tag: string, options: Intl.DateTimeFormatOptions): string {
  const key = tag + JSON.stringify(options);
  let format = times.get(key);
  if (!format) times.set(key, (format = new Intl.DateTimeFormat(tag, { ...options, timeZone: "Europe/Warsaw" })));
  return format.format(moment);
}

const year = (moment: number): string => warsawTime(moment, "en-GB", { year: "numeric" });

/** The same with a day in it: with its year where that is not this one, for a replay is of another. */
export function warsawDate(
  moment: number,
  tag: string,
  options: Intl.DateTimeFormatOptions,
  now: number = Date.now(),
): string {
  const known = year(moment) === year(now);
  return warsawTime(moment, tag, known ? options : { ...options, year: "numeric" });
}

/** How long ago or until, short: `42 s`, `5 min`, `3 h`, `2 d`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}\u00a0h`;
  return `${Math.floor(seconds / 86400)}\u00a0d`;
}

/** A countdown: `1:05`, `2:13:09`; days apart. */
export function countdown(ms: number): { days: number; clock: string } {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [hours, minutes, rest] = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  const days = Math.floor(seconds / 86400);
  return { days, clock: days || hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}` };
}
