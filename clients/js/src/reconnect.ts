export interface Backoff {
  /** The first wait in milliseconds, at most; each further one is at most twice as long. */
  first: number;
  /** No wait is longer. */
  cap: number;
  /** A connection that lasted so long was a good one: the waits start again. */
  healthy: number;
}

export const BACKOFF: Backoff = { first: 500, cap: 30_000, healthy: 10_000 };

const GOING_AWAY = 1001;
/** Of a server's word on when to come back. */
const LONGEST_HINT = 300_000;

/** Whether and when to connect again. No I/O; times are milliseconds. */
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

  /** The server's word on when to come back. */
  told(milliseconds: number): void {
    if (milliseconds >= 0) this.#hint = Math.min(milliseconds, LONGEST_HINT);
  }

  /** How long to wait after a connection ended with this code. Null: do not come back. */
  closed(code: number, now: number): number | null {
    if (this.#openedAt !== null && now - this.#openedAt >= this.#backoff.healthy) this.failures = 0;
    const hint = code === GOING_AWAY ? this.#hint : null;
    this.#openedAt = this.#hint = null;
    this.failures += 1;
    if (isFinal(code) || this.failures >= this.#attempts) return null;
    return hint ?? this.delay();
  }

  /** Uniform below a bound that doubles with each failure: many clients do not come back in step. */
  delay(): number {
    const { first, cap } = this.#backoff;
    const ceiling = Math.min(cap, first * 2 ** Math.max(0, this.failures - 1));
    return Math.max(ceiling * (1 - this.#jitter()), first / 10);
  }
}

/** Close codes from 4500 on mean that coming back would end the same way. */
function isFinal(code: number): boolean {
  return code >= 4500 && code <= 4999;
}
