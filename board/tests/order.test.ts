import assert from "node:assert/strict";
import { test } from "node:test";
import type { Quote } from "@zlotick/client";
import { matches, nextSort, passes, placeInRange, sorted } from "../src/store/order.ts";

const quote = (symbol: string, known: Partial<Quote> = {}): Quote =>
  ({
    symbol,
    price: 10,
    change: 0,
    change_percent: 0,
    low: 9,
    high: 11,
    volume: 1,
    timestamp: "2025-04-30T07:00:00.000Z",
    ...known,
  }) as Quote;

test("what is unknown comes last, up and down", () => {
  const quotes = [
    quote("A", { change_percent: null }),
    quote("B", { change_percent: -1 }),
    quote("C", { change_percent: 2 }),
  ];
  assert.deepEqual(sorted(quotes, { column: "change_percent", descending: true }), ["C", "B", "A"]);
  assert.deepEqual(sorted(quotes, { column: "change_percent", descending: false }), ["B", "C", "A"]);
});

test("equal values stay in the order of their symbols, up and down", () => {
  const quotes = ["B", "C", "A"].map((symbol) => quote(symbol));
  for (const descending of [true, false])
    assert.deepEqual(sorted(quotes, { column: "volume", descending }), ["A", "B", "C"]);
});

test("by age the youngest is first", () => {
  const quotes = [quote("OLD"), quote("NEW", { timestamp: "2025-04-30T08:00:00.000Z" })];
  assert.deepEqual(sorted(quotes, { column: "age", descending: false }), ["NEW", "OLD"]);
});

test("numbers begin with the greatest, texts with A; a second click turns it round", () => {
  const bySymbol = { column: "symbol", descending: false } as const;
  assert.deepEqual(nextSort(bySymbol, "volume"), { column: "volume", descending: true });
  assert.deepEqual(nextSort(bySymbol, "symbol"), { column: "symbol", descending: true });
});

test("the place in the day's range is unknown where the range is", () => {
  assert.equal(placeInRange(quote("A", { price: 10.5 })), 0.75);
  assert.equal(placeInRange(quote("A", { low: null })), null);
  assert.equal(placeInRange(quote("A", { low: 10, high: 10 })), 0.5);
  assert.equal(placeInRange(quote("A", { price: 12 })), 1, "a price outside the given range stays on the bar");
});

test("an unknown change neither rises nor falls", () => {
  assert.equal(passes(quote("A", { change: null }), "up", []), false);
  assert.equal(passes(quote("A", { change: null }), "down", []), false);
  assert.equal(passes(quote("A"), "watched", ["A"]), true);
});

test("the search finds words in symbol and name, without the marks of letters", () => {
  assert.ok(matches("zaklad lodz", "ZAP", "Zakłady Łódź"));
  assert.ok(matches("", "ABS", ""));
  assert.ok(!matches("abs xyz", "ABS", "Asseco"));
});
