import type { ErrorMessage, Position, StockUpdates, Subscription, SubscriptionConfirmed } from "./messages.ts";
import type { Message } from "./state.ts";

/** Where a client is in the journal: what to ask for after a break, and which messages it has had. No I/O. */
export class Cursor {
  /** All up to here was received, so a new connection may resume after it. Null: begin with a snapshot. */
  position: Position | null = null;
  #had: Position | null = null; // of quotes; a heartbeat may be ahead of them
  #wanted: Subscription = {};
  #inForce: Subscription | null = null;
  #asked = 0;
  #since: Position | null = null;
  #live = false;

  /** Another subscription from now on; the old one's place means nothing to it. */
  select(subscription: Subscription): void {
    this.#wanted = subscription;
  }

  /** The `subscribe` to send now: after a break it resumes. */
  request(): { type: "subscribe"; id: number } & Subscription {
    const wanted = this.#wanted;
    const quotes = !wanted.channels || wanted.channels.includes("quotes");
    const since = wanted === this.#inForce ? this.position : wanted.since;
    this.#since = (quotes && since) || null;
    const { since: _, ...rest } = wanted;
    return { type: "subscribe", id: ++this.#asked, ...rest, ...(this.#since && { since: this.#since }) };
  }

  /** Whether this message answers the newest `subscribe`. */
  answers(message: SubscriptionConfirmed | ErrorMessage): boolean {
    return message.id === this.#asked;
  }

  /** Move along with a message. False for quotes that were received before. */
  take(message: Message): boolean {
    switch (message.type) {
      case "stock_updates":
        return this.#takeQuotes(message);
      case "subscription_confirmed":
        if (this.answers(message)) this.#confirmed();
        break;
      case "error":
        if (this.answers(message) && !message.retryable) this.#wanted = this.#inForce ?? this.#wanted;
        break;
      case "gap":
        this.position = this.#had = null;
        break;
      case "snapshot_end":
        this.#live = true;
        this.position = this.#had = message.position ?? this.position;
        break;
      case "heartbeat":
        if (this.#live) this.position = message.position ?? this.position;
    }
    return true;
  }

  #confirmed(): void {
    this.#inForce = this.#wanted;
    this.position = this.#had = this.#since;
    this.#live = false;
  }

  #takeQuotes({ position }: StockUpdates): boolean {
    if (!position) return true;
    const had = this.#had;
    const ahead = had && position.epoch === had.epoch ? position.offset - had.offset : 1;
    // Half a snapshot is nothing to resume from.
    if (ahead > 0 && (had || this.#live)) this.position = this.#had = position;
    // A live message without a new batch repeats the position: standings changed, or a cycle of mode `full`.
    return ahead > 0 || (ahead === 0 && this.#live);
  }
}
