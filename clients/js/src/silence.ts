/** Whether a silent connection is dead. No I/O; times are milliseconds of the wall clock, which runs on in sleep. */
export class Silence {
  #heard = 0;
  #askedAt: number | null = null;
  #promised = 0;
  readonly #patience: number;

  constructor(patience: number) {
    this.#patience = patience;
  }

  /** A new connection, whose server promised to be silent no longer than this. */
  begin(now: number, promised: number): void {
    this.#promised = promised;
    this.heard(now);
  }

  heard(now: number): void {
    this.#heard = now;
    this.#askedAt = null;
  }

  /** What to do now: nothing, ask for a sign of life, or give the connection up. `urgent`: ask in any case. */
  check(now: number, urgent = false): "wait" | "ask" | "dead" {
    if (this.#askedAt !== null) return now - this.#askedAt >= this.#patience ? "dead" : "wait";
    // A clock that was set back says nothing of the silence, so it counts from now.
    if (now < this.#heard) this.#heard = now;
    if (!urgent && now - this.#heard < this.#promised + this.#patience) return "wait";
    this.#askedAt = now;
    return "ask";
  }
}
