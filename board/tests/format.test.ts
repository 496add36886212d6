import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countdown,
  digitsOf,
  number,
  percent,
  price,
  signed,
  span,
  warsawDate,
  warsawTime,
} from "../src/i18n/format.ts";

test("what is unknown is an en dash, never 0", () => {
  for (const unknown of [null, undefined, NaN]) assert.equal(number(unknown, 2, "en-GB"), "–");
  assert.equal(price(null, "pl-PL"), "–");
  assert.equal(signed(null, "pl-PL"), "–");
  assert.equal(percent(null, "pl-PL"), "–");
  assert.equal(percent(0, "en-GB"), "0.00\u00a0%");
});

test("Polish has a decimal comma and spaces, also between four digits", () => {
  assert.equal(price(1234.5, "pl-PL"), "1\u00a0234,50");
  assert.equal(number(1234567, 0, "pl-PL"), "1\u00a0234\u00a0567");
  assert.equal(price(1234.5, "en-GB"), "1,234.50");
});

test("a change has its sign, and nothing has none", () => {
  assert.equal(signed(1.25, "en-GB"), "+1.25");
  assert.equal(signed(-1.25, "pl-PL"), "−1,25");
  assert.equal(signed(0, "en-GB"), "0.00");
  assert.equal(percent(-0.004, "en-GB"), "0.00\u00a0%", "rounded away, it is no loss");
});

test("a fine tick has its digits, the same in the whole row", () => {
  assert.equal(digitsOf([1.768, 1.73, null]), 3);
  assert.equal(digitsOf([0.3125]), 4);
  assert.equal(digitsOf([225.8, 0.1 + 0.2]), 2, "a sum of binary fractions is no finer tick");
});

test("times are short, and of Warsaw", () => {
  assert.equal(span(59_999), "59\u00a0s");
  assert.equal(span(60_000), "1\u00a0min");
  assert.equal(span(-5), "0\u00a0s");
  assert.equal(span(49 * 3_600_000), "2\u00a0d");
  assert.equal(
    warsawTime(Date.parse("2025-04-30T07:00:00Z"), "en-GB", { hour: "2-digit", minute: "2-digit" }),
    "09:00",
  );
  assert.deepEqual(countdown(65_000), { days: 0, clock: "1:05" });
  assert.deepEqual(countdown(86_400_000 + 7_989_000), { days: 1, clock: "2:13:09" });
});

test("a date has its year where that is not this one in Warsaw", () => {
  const day = { day: "numeric", month: "short" } as const;
  const replayed = Date.parse("2025-04-30T07:00:00Z");
  assert.equal(warsawDate(replayed, "en-GB", day, Date.parse("2025-12-31T22:59:59Z")), "30 Apr");
  assert.equal(warsawDate(replayed, "en-GB", day, Date.parse("2025-12-31T23:00:00Z")), "30 Apr 2025");
});
