/** Whether a silent connection is dead. No I/O; times are milliseconds of the wall clock, which runs on in sleep. */
export class Silence {
  #heard = 0;
  #askedAt: number | null = null;
  #promised = 0;
  readonly #patience: number;

  constructor(patience: number) {
    this.#patience = patience;
  }

  /** A new subscription, with this heartbeat interval. */
  begin(now: number, promised: number): void {
    this.#promised = promised;
    this.heard(now);
  }

  heard(now: number): void {
    this.#heard = now;
    this.#askedAt = null;
  }

  /** What to do now: wait, send a ping, or treat the connection as dead. `urgent`: ping in any case. */
  check(now: number, urgent = false): "wait" | "ask" | "dead" {
    if (this.#askedAt !== null) return now - this.#askedAt >= this.#patience ? "dead" : "wait";
    // The clock was set back: count the silence from now.
    if (now < this.#heard) this.#heard = now;
    if (!urgent && now - this.#heard < this.#promised + this.#patience) return "wait";
    this.#askedAt = now;
    return "ask";
  }
}
