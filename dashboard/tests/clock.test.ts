import assert from "node:assert/strict";
import { test } from "node:test";
import { clockOf, type Clock } from "../src/clock.ts";
import { Course } from "../src/table/course.ts";
import { warsaw } from "../src/warsaw.ts";

const MINUTE = 60_000;

test("a live clock runs like ours, whatever the network's delay", () => {
  const clock = clockOf(clockOf(null, 0, 0), 15_000, 15_800);
  assert.equal(clock.rate, 1);
  assert.equal(clock.at(25_800), 25_000);
});

test("a replay's clock runs as fast as two answers show", () => {
  const clock = clockOf(clockOf(null, 0, 0), 300_000, 5_000);
  assert.equal(clock.rate, 60);
  assert.equal(clock.at(6_000), 360_000);
});

test("two answers too near each other, or a replay that begins again, tell no rate", () => {
  const clock: Clock = clockOf(clockOf(null, 0, 0), 300_000, 5_000);
  assert.equal(clockOf(clock, 301_000, 5_100).rate, 60);
  assert.equal(clockOf(clock, 1_000, 15_000).rate, 60);
});

test("Warsaw's clock changes in spring and autumn", () => {
  assert.equal(warsaw(Date.parse("2025-01-15T08:00:00Z")).minute, 9 * 60);
  assert.equal(warsaw(Date.parse("2025-07-15T07:00:00Z")).minute, 9 * 60);
  const midnight = warsaw(Date.parse("2025-07-14T22:00:00Z"));
  assert.deepEqual(midnight, { day: Date.UTC(2025, 6, 15) / 86_400_000, minute: 0 });
});

test("a course keeps what was seen, fills what was missed, and begins anew with the session", () => {
  const course = new Course();
  const open = Date.parse("2025-04-30T07:00:00Z");
  course.add(open + 12 * MINUTE, 11);
  course.fill([
    { moment: open, price: 10 },
    { moment: open + 10 * MINUTE, price: 99 },
    { moment: open - 24 * 60 * MINUTE, price: 5 },
    { moment: open + 60 * MINUTE, price: 77 },
  ]);
  assert.deepEqual([...course.prices], [10, undefined, 11]);
  course.add(open - 24 * 60 * MINUTE, 5);
  assert.deepEqual([...course.prices], [10, undefined, 11], "an older session is no news");
  course.add(open + 5 * MINUTE, 13);
  assert.deepEqual([...course.prices], [10, 13], "a replay that begins again has no later prices yet");
  course.add(open + 24 * 60 * MINUTE, 12);
  assert.deepEqual([...course.prices], [12]);
});
