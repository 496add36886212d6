import assert from "node:assert/strict";
import { test } from "node:test";
import type { Quote } from "@zlotick/client";
import { labelOf, minutesOfAll, originOfAll, sharesOf } from "../src/label.ts";

const quote = (known: Partial<Quote> = {}): Quote =>
  ({ symbol: "ABS", data_source: "gpw", delay_seconds: 900, stale: false, origin: "delayed", ...known }) as Quote;

test("a quote's own origin comes before the word of the service", () => {
  assert.deepEqual(labelOf(quote(), "live"), { origin: "delayed", minutes: 15, provider: "gpw" });
  assert.equal(labelOf(quote({ origin: "end_of_day" }), "delayed").minutes, 0);
});

test("a quote of an older server is what its service is, and never live with a delay", () => {
  const { origin: _, ...untold } = quote();
  for (const old of [quote({ origin: null }), untold as Quote]) {
    assert.equal(labelOf(old, "replayed").origin, "replayed");
    assert.equal(labelOf(old, "live").origin, "delayed");
    assert.equal(labelOf({ ...old, delay_seconds: 0 }, "live").origin, "live");
  }
});

test("one word for all only where all have it", () => {
  const label = (known: Partial<Quote>) => labelOf(quote(known), "live");
  const alike = sharesOf([label({}), label({ symbol: "ACG" })]);
  assert.deepEqual(alike, [{ origin: "delayed", minutes: 15, provider: "gpw", count: 2 }]);
  assert.equal(minutesOfAll(alike), 15);
  const delays = sharesOf([label({}), label({ delay_seconds: 1200, data_source: "bankier" })]);
  assert.equal(originOfAll(delays), "delayed");
  assert.equal(minutesOfAll(delays), 0);
  assert.equal(originOfAll(sharesOf([label({}), label({ origin: "end_of_day" })])), "mixed");
  assert.equal(originOfAll([]), null);
});
