/** The Warsaw clock of a moment. Pure. */

const HOUR = 3_600_000;
const parts = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Europe/Warsaw",
  hourCycle: "h23",
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
});

let known = { hour: Number.NaN, offset: 0 };

/** How far Warsaw is ahead of UTC, in ms. Asking Intl is slow, and it only ever changes on the hour. */
function offset(moment: number): number {
  const hour = Math.floor(moment / HOUR);
  if (hour !== known.hour) {
    const of = Object.fromEntries(parts.formatToParts(hour * HOUR).map(({ type, value }) => [type, Number(value)]));
    const local = Date.UTC(of.year!, of.month! - 1, of.day, of.hour);
    known = { hour, offset: local - hour * HOUR };
  }
  return known.offset;
}

/** Days since 1970 on the Warsaw calendar, and minutes since its midnight. */
export function warsaw(moment: number): { day: number; minute: number } {
  const local = moment + offset(moment);
  const day = Math.floor(local / (24 * HOUR));
  return { day, minute: Math.floor((local - day * 24 * HOUR) / 60_000) };
}
