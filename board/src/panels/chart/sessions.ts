/**
 * Where a candle could have been: the trading hours of Warsaw. Pure; times are Unix seconds.
 *
 * The same rules as zlotick.market.calendar. Days that the exchange closed by a resolution of its own are not known
 * here: such a day is drawn as a gap.
 */
const MINUTE = 60;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const OPENS = 9 * HOUR;
const CALL = 16 * HOUR + 50 * MINUTE; // the closing call: no trades from here to 17:00

const FIXED = new Set("1-1 1-6 5-1 5-3 8-15 11-1 11-11 12-24 12-25 12-26 12-31".split(" "));

/** Easter Sunday of the Gregorian calendar, as the beginning of that day in UTC (the anonymous computus). */
function easter(year: number): number {
  const golden = year % 19;
  const century = Math.floor(year / 100);
  const rest = year % 100;
  const leap = century - Math.floor(century / 4) - Math.floor((century - Math.floor((century + 8) / 25) + 1) / 3);
  const moon = (19 * golden + leap + 15) % 30;
  const sunday = (32 + 2 * (century % 4) + 2 * Math.floor(rest / 4) - moon - (rest % 4)) % 7;
  const shift = moon + sunday - 7 * Math.floor((golden + 11 * moon + 22 * sunday) / 451) + 114;
  return Date.UTC(year, Math.floor(shift / 31) - 1, (shift % 31) + 1) / 1000;
}

/** Whether Warsaw trades on the day that begins then (UTC midnight of the Warsaw date). */
export function isSession(day: number): boolean {
  const date = new Date(day * 1000);
  if (date.getUTCDay() % 6 === 0 || FIXED.has(`${date.getUTCMonth() + 1}-${date.getUTCDate()}`)) return false;
  const afterEaster = (day - easter(date.getUTCFullYear())) / DAY;
  return afterEaster !== -2 && afterEaster !== 1 && afterEaster !== 60; // Good Friday, Easter Monday, Corpus Christi
}

const WARSAW_HOUR = new Intl.DateTimeFormat("en", { timeZone: "Europe/Warsaw", hour: "numeric", hourCycle: "h23" });

/** How far Warsaw is ahead of UTC on that day, in seconds; it changes at night only. */
function ahead(day: number): number {
  return (Number(WARSAW_HOUR.format((day + DAY / 2) * 1000)) - 12) * HOUR;
}

/**
 * The starts of the buckets of trading hours between two candles, at most so many: a longer hole is drawn no wider.
 * `width` is the length of a bucket; buckets are of UTC.
 */
export function bucketsBetween(earlier: number, later: number, width: number, most: number): number[] {
  const found: number[] = [];
  for (let day = earlier - (earlier % DAY); day < later; day += DAY) {
    if (!isSession(day)) continue;
    const [opens, ends] = width === DAY ? [day, day + DAY] : [day + OPENS - ahead(day), day + CALL - ahead(day)];
    for (let start = opens - (opens % width); start < ends && start < later; start += width) {
      if (start > earlier && found.push(start) === most) return found;
    }
  }
  return found;
}
