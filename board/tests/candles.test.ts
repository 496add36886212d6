/** The candles of a chart, without a browser: `node --test tests/*.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketsBetween } from "../src/panels/chart/buckets.ts";
import { Candles, type CandleValues, isInFuture } from "../src/panels/chart/candles.ts";

const CLOSED = new Set(["2026-11-11"]);

const stored = (start: string, close: number, data_source = "gpw"): CandleValues => ({
  ...{ data_source, start, close, open: close, high: close, low: close, volume: 100, ticks: 1 },
});
const live = (start: string, close: number) => ({ ...stored(start, close), correction: false });
const drawn = (candles: Candles): string[] =>
  candles.withHoles(CLOSED).map((point) => {
    const time = new Date(point.time * 1000).toISOString().slice(5, 16);
    return "close" in point ? `${time} ${point.close}` : `${time} -`;
  });

test("a missing quarter of an hour is a gap; the closing call, the night and the weekend are not", () => {
  const candles = new Candles("5m", "gpw");
  candles.fill([
    stored("2026-11-20T15:30:00.000Z", 1), // Friday, 16:30 in Warsaw
    stored("2026-11-20T15:45:00.000Z", 2),
    stored("2026-11-23T08:00:00.000Z", 3), // Monday, 9:00
  ]);
  const gap = ["11-20T15:35 -", "11-20T15:40 -"];
  assert.deepEqual(drawn(candles), ["11-20T15:30 1", ...gap, "11-20T15:45 2", "11-23T08:00 3"]);
});

test("in summer Warsaw opens an hour earlier by UTC", () => {
  const [monday, tuesday] = [Date.UTC(2026, 6, 20, 15) / 1000, Date.UTC(2026, 6, 21, 15) / 1000];
  const hours = bucketsBetween(monday, tuesday, 3600, 100, CLOSED).map((time) => new Date(time * 1000).getUTCHours());
  assert.deepEqual(hours, [7, 8, 9, 10, 11, 12, 13, 14]);
});

test("a missing session is one gap of the daily chart, a closed day is not", () => {
  const candles = new Candles("1d", "gpw");
  candles.fill([stored("2026-11-09T00:00:00.000Z", 1), stored("2026-11-13T00:00:00.000Z", 2)]);
  // Tuesday 10 and Thursday 12 are missing; Wednesday 11 is Independence Day
  assert.deepEqual(drawn(candles), ["11-09T00:00 1", "11-10T00:00 -", "11-12T00:00 -", "11-13T00:00 2"]);
});

test("a hole is drawn no wider than 120 candles", () => {
  const candles = new Candles("1m", "gpw");
  candles.fill([stored("2026-11-02T08:00:00.000Z", 1), stored("2026-11-24T08:00:00.000Z", 2)]);
  assert.equal(candles.withHoles(CLOSED).length, 2 + 120);
});

test("live candles precede the store, which lags; after a break the store precedes", () => {
  const candles = new Candles("1m", "gpw");
  const start = "2026-11-24T09:00:00.000Z";
  candles.take(live(start, 2));
  candles.fill([stored(start, 1)]);
  assert.equal(candles.last?.close, 2);
  candles.interrupted();
  candles.fill([stored(start, 3)]);
  assert.equal(candles.last?.close, 3);
});

test("a service that began in the middle of a day has not seen its opening; the store has", () => {
  const candles = new Candles("1d", "gpw");
  const start = "2026-11-24T00:00:00.000Z";
  candles.fill([{ ...stored(start, 5), high: 9, low: 4, ticks: 100 }]);
  candles.take({ ...live(start, 6), high: 7, ticks: 2 });
  const { open, high, low, close } = candles.last!;
  assert.deepEqual([open, high, low, close], [5, 9, 4, 6]);
});

test("a correction may take a high back", () => {
  const candles = new Candles("1m", "gpw");
  const start = "2026-11-24T09:00:00.000Z";
  candles.fill([{ ...stored(start, 5), high: 9, ticks: 2 }]);
  candles.take({ ...live(start, 5), ticks: 2 });
  assert.equal(candles.last?.high, 5);
});

test("a replay that began again has no afternoon yet, though the store has yesterday's round of it", () => {
  const candles = new Candles("1m", "gpw");
  const [morning, afternoon] = ["2026-11-24T09:00:00.000Z", "2026-11-24T15:00:00.000Z"];
  candles.fill([stored(morning, 1), stored(afternoon, 2)]);
  candles.take(live(morning, 3));
  assert.deepEqual([candles.size, candles.last?.close], [1, 3]);
  candles.fill([stored(afternoon, 2)]);
  assert.equal(candles.size, 1);
});

test("until such a replay's first trade, the market's clock shows what is of its earlier round", () => {
  const time = Date.parse("2026-11-24T09:00:00.000Z");
  assert.equal(isInFuture(stored("2026-11-24T15:53:00.000Z", 1), time), true);
  assert.equal(isInFuture(stored("2026-11-24T09:01:00.000Z", 1), time), false);
  assert.equal(isInFuture(stored("2026-11-24T15:53:00.000Z", 1), null), false);
});

test("of two providers the one of the quote stays, whichever comes first", () => {
  const start = "2026-11-24T09:00:00.000Z";
  for (const order of [
    ["gpw", "bankier"],
    ["bankier", "gpw"],
  ]) {
    const candles = new Candles("1m", "gpw");
    candles.fill(order.map((provider) => stored(start, provider === "gpw" ? 1 : 2, provider)));
    assert.equal(candles.last?.close, 1);
  }
});

test("a change of the newest candle redraws only that, a new one or a correction redraws all", () => {
  const candles = new Candles("1m", "gpw");
  const [first, second] = ["2026-11-24T09:00:00.000Z", "2026-11-24T09:01:00.000Z"];
  assert.equal(candles.take(live(first, 1)), true);
  assert.equal(candles.take(live(first, 2)), false);
  assert.equal(candles.take(live(second, 3)), true);
  assert.equal(candles.take({ ...live(first, 4), correction: true }), true);
  assert.deepEqual(drawn(candles), ["11-24T09:00 4", "11-24T09:01 3"]);
});

test("steps go from candle to candle and stop at the ends", () => {
  const candles = new Candles("1m", "gpw");
  candles.fill([stored("2026-11-24T09:00:00.000Z", 1), stored("2026-11-24T09:30:00.000Z", 2)]);
  const last = candles.last!.time;
  assert.equal(candles.beside(last, -1)?.close, 1);
  assert.equal(candles.beside(last, 1)?.close, 2);
});
