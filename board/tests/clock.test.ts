import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, clockOf } from "../src/clock.ts";
import { DayPrices } from "../src/table/day_prices.ts";
import { warsaw } from "../src/warsaw.ts";

const MINUTE = 60_000;

test("a live clock runs like ours from the first answer, whatever the network's delay", () => {
  const clock = clockOf(null, 15_000, 15_800);
  assert.equal(clock.rate, 1);
  assert.equal(clock.at(25_800), 25_000);
});

/** Moments of ours, while the replay shows those of years before. */
const NOW = 20 * 365 * 24 * 60 * MINUTE;

test("a replay's clock stands until two answers show how fast it runs", () => {
  // It ran at 1x for the first seconds: the clock was wrong, and then jumped.
  const first = clockOf(null, 0, NOW);
  assert.equal(first.rate, null);
  assert.equal(first.at(NOW + 3_000), 0);
  const clock = clockOf(first, 300_000, NOW + 5_000);
  assert.equal(clock.rate, 60);
  assert.equal(clock.at(NOW + 6_000), 360_000);
});

test("a replay that had not begun when it was first asked is no live clock", () => {
  const clock = clockOf(clockOf(null, NOW, NOW), 0, NOW + 5_000);
  assert.equal(clock.rate, null);
});

test("a clock that nobody tells any more stops", () => {
  // Without its server the board counted on for half an hour of invented market time.
  const live = clockOf(null, NOW, NOW);
  assert.equal(live.at(NOW + 10 * MINUTE), live.at(NOW + 20_000));
  const replay = clockOf(clockOf(null, 0, NOW), 300_000, NOW + 5_000);
  assert.equal(replay.at(NOW + 10 * MINUTE), replay.at(NOW + 13_000));
});

test("two answers too near each other, over a break, or of a replay that begins again, tell no rate", () => {
  const clock: Clock = clockOf(clockOf(null, 0, NOW), 300_000, NOW + 5_000);
  assert.equal(clockOf(clock, 301_000, NOW + 5_100).rate, 60);
  assert.equal(clockOf(clock, 1_000, NOW + 15_000).rate, 60);
  assert.equal(clockOf(clock, 301_000, NOW + 65_000, false).rate, 60);
});

test("Warsaw's clock changes in spring and autumn", () => {
  assert.equal(warsaw(Date.parse("2025-01-15T08:00:00Z")).minute, 9 * 60);
  assert.equal(warsaw(Date.parse("2025-07-15T07:00:00Z")).minute, 9 * 60);
  const midnight = warsaw(Date.parse("2025-07-14T22:00:00Z"));
  assert.deepEqual(midnight, { day: Date.UTC(2025, 6, 15) / 86_400_000, minute: 0 });
});

test("prices of a day keep what was seen, fill what was missed, and start again with the next session", () => {
  const day = new DayPrices();
  const open = Date.parse("2025-04-30T07:00:00Z");
  day.add(open + 12 * MINUTE, 11);
  day.fill([
    { moment: open, price: 10 },
    { moment: open + 10 * MINUTE, price: 99 },
    { moment: open - 24 * 60 * MINUTE, price: 5 },
    { moment: open + 60 * MINUTE, price: 77 },
  ]);
  assert.deepEqual([...day.values], [10, undefined, 11]);
  day.add(open - 24 * 60 * MINUTE, 5);
  assert.deepEqual([...day.values], [10, undefined, 11], "an older session is no news");
  day.add(open + 5 * MINUTE, 13);
  assert.deepEqual([...day.values], [10, 13], "a replay that begins again has no later prices yet");
  day.add(open + 24 * 60 * MINUTE, 12);
  assert.deepEqual([...day.values], [12]);
});
