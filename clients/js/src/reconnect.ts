export interface Backoff {
  /** The first wait in milliseconds, at most; each further one is at most twice as long. */
  first: number;
  /** No wait is longer. */
  cap: number;
  /** After a connection that lasted this long, the backoff starts again. */
  healthy: number;
}

export const BACKOFF: Backoff = { first: 500, cap: 30_000, healthy: 10_000 };

const GOING_AWAY = 1001;
/** The longest wait that a server can request. */
const LONGEST_HINT = 300_000;

/** Whether and when to reconnect (exponential backoff with jitter). No I/O; times are milliseconds. */
export class Reconnect {
  /** Failed connections in a row. */
  failures = 0;
  #backoff: Backoff;
  #jitter: () => number;
  #attempts: number;
  #openedAt: number | null = null;
  #hint: number | null = null;

  /** `jitter` gives numbers from 0 to below 1; after `attempts` failures in a row it gives up. */
  constructor(backoff: Backoff, jitter: () => number, attempts: number) {
    this.#backoff = backoff;
    this.#jitter = jitter;
    this.#attempts = attempts;
  }

  opened(now: number): void {
    this.#openedAt = now;
  }

  /** The server announced a shutdown, and when to reconnect. */
  serverStops(milliseconds: number): void {
    if (milliseconds >= 0) this.#hint = Math.min(milliseconds, LONGEST_HINT);
  }

  /** How long to wait after a connection ended with this code. Null: do not reconnect. */
  closed(code: number, now: number): number | null {
    if (this.#openedAt !== null && now - this.#openedAt >= this.#backoff.healthy) this.failures = 0;
    const hint = code === GOING_AWAY ? this.#hint : null;
    this.#openedAt = this.#hint = null;
    this.failures += 1;
    if (isFinal(code) || this.failures >= this.#attempts) return null;
    return hint ?? this.delay();
  }

  /** Uniform below a bound that doubles with each failure: many clients do not reconnect in step (full jitter). */
  delay(): number {
    const { first, cap } = this.#backoff;
    const ceiling = Math.min(cap, first * 2 ** Math.max(0, this.failures - 1));
    return Math.max(ceiling * (1 - this.#jitter()), first / 10);
  }
}

/** From close code 4500 on, a reconnect would end the same way. */
function isFinal(code: number): boolean {
  return code >= 4500 && code <= 4999;
}
