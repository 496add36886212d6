/** The buckets of time in which there could be a candle. Pure; times are Unix seconds. */
const MINUTE = 60;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const OPENS = 9 * HOUR;
const CALL = 16 * HOUR + 50 * MINUTE; // the closing call: no trades from here to 17:00

/** Whether Warsaw trades on the day that begins then (UTC midnight of the Warsaw date). */
function isSession(day: number, closed: ReadonlySet<string>): boolean {
  const date = new Date(day * 1000);
  return date.getUTCDay() % 6 !== 0 && !closed.has(date.toISOString().slice(0, 10));
}

const WARSAW_HOUR = new Intl.DateTimeFormat("en", { timeZone: "Europe/Warsaw", hour: "numeric", hourCycle: "h23" });

/** How far Warsaw is ahead of UTC on that day, in seconds; it changes only at night. */
function ahead(day: number): number {
  return (Number(WARSAW_HOUR.format((day + DAY / 2) * 1000)) - 12) * HOUR;
}

/**
 * The starts of the buckets of trading hours between two candles, at most `most` of them. `width` is the length of a
 * bucket; buckets are of UTC. `closed`: the weekdays without a session, as the server lists them.
 */
export function bucketsBetween(
  earlier: number,
  later: number,
  width: number,
  most: number,
  closed: ReadonlySet<string>,
): number[] {
  const found: number[] = [];
  for (let day = earlier - (earlier % DAY); day < later; day += DAY) {
    if (!isSession(day, closed)) continue;
    const [opens, ends] = width === DAY ? [day, day + DAY] : [day + OPENS - ahead(day), day + CALL - ahead(day)];
    for (let start = opens - (opens % width); start < ends && start < later; start += width) {
      if (start > earlier && found.push(start) === most) return found;
    }
  }
  return found;
}
