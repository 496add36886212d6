import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_SHAPE, shapeOf } from "../src/table/shape.ts";

test("the line goes from the left upwards, passes over a gap, and stands against the previous close", () => {
  const { prices, end, base, trend } = shapeOf([10, undefined, 12], 11);
  assert.equal(prices, "M2.0 20.0L4.6 2.0");
  assert.equal(end, "M4.6 2.0h0");
  assert.equal(base, "M0 11.0H128");
  assert.equal(trend, "up");
});

test("a price that never moved lies in the middle; without a previous close it is neither up nor down", () => {
  assert.deepEqual(shapeOf([10, 10], null), {
    prices: "M2.0 11.0L3.3 11.0",
    end: "M3.3 11.0h0",
    base: "",
    trend: "unchanged",
  });
});

test("nothing traded, nothing drawn", () => {
  assert.equal(shapeOf([], 10), NO_SHAPE);
});
