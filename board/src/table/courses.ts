/** The courses of all stocks: from the quotes seen, and what is stored of the session, asked for lazily. */
import { signal, type Signal } from "@preact/signals";
import { api, market, questdb, quoteOf, Refused } from "../store/index.ts";
import { Course } from "./course.ts";

interface Stored {
  start: string;
  close: number;
  data_source: string;
}

/** So many questions at once: the server gives one page few, and the chart wants one, too. */
const AT_ONCE = 2;
const TOO_MANY = 429;
const OFF = 503;
const LATER_MS = 60_000;

const courses = new Map<string, Course>();
const versions = new Map<string, Signal<number>>();
const queue = new Set<string>();
const asked = new Map<string, string>();
let running = 0;
let notBefore = 0;

export function courseOf(symbol: string): Course {
  let course = courses.get(symbol);
  if (!course) courses.set(symbol, (course = new Course()));
  return course;
}

/** Grows whenever the stored part of the course came. */
export function versionOf(symbol: string): Signal<number> {
  let version = versions.get(symbol);
  if (!version) versions.set(symbol, (version = signal(0)));
  return version;
}

/** The row is on the screen: its course is wanted, once a session. In an effect: again when the store is there. */
export function want(symbol: string): void {
  const day = market.value?.session_day;
  if (!day || questdb.value !== "connected" || asked.get(symbol) === day) return;
  queue.add(symbol);
  next();
}

/** It left the screen before its turn. */
export function unwant(symbol: string): void {
  queue.delete(symbol);
}

function next(): void {
  const day = market.peek()?.session_day;
  if (!day || running >= AT_ONCE || Date.now() < notBefore) return;
  const [symbol] = queue;
  if (symbol === undefined) return;
  queue.delete(symbol);
  asked.set(symbol, day);
  running++;
  void ask(symbol, day).finally(() => {
    running--;
    next();
  });
}

async function ask(symbol: string, day: string): Promise<void> {
  const source = quoteOf(symbol)?.peek().data_source;
  try {
    const { data } = await api<{ data: Stored[] }>(`/candles/${symbol}?interval=5m&from=${day}T00:00:00Z&limit=200`);
    const ofSource = data.filter(({ data_source }) => data_source === source);
    courseOf(symbol).fill(ofSource.map(({ start, close }) => ({ moment: Date.parse(start), price: close })));
    versionOf(symbol).value++;
  } catch (error) {
    const again = error instanceof Refused && [0, TOO_MANY, OFF].includes(error.status);
    if (!again) return;
    asked.delete(symbol);
    notBefore = Date.now() + LATER_MS; // no store, or a busy one
  }
}
