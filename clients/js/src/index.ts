import { Cursor } from "./cursor.ts";
import type { ErrorMessage, Position, Subscription } from "./messages.ts";
import { BACKOFF, type Backoff, Reconnect } from "./reconnect.ts";
import { Silence } from "./silence.ts";
import type { Events, Message, StateChanged } from "./state.ts";

export type * from "./messages.ts";
export type { Backoff } from "./reconnect.ts";
export type * from "./responses.ts";
export type * from "./state.ts";

/** Milliseconds after a missing heartbeat before a ping is sent; after as many more the connection is dead. */
const PATIENCE = 3_000;
const CHECK_EVERY = 1_000;
const BROKEN = 1006;

export interface Options {
  /** Sent in the first message, never in the URL. */
  token?: string;
  /** Seconds of silence after which the server is to send a heartbeat, 1-60. */
  heartbeat?: number;
  /** Milliseconds after a missing heartbeat before a ping is sent; after as many more it reconnects. */
  patience?: number;
  backoff?: Partial<Backoff>;
  /** Numbers from 0 to below 1. */
  jitter?: () => number;
  /** Gives up after this many failures in a row; never by default. */
  attempts?: number;
  WebSocket?: typeof WebSocket;
}

type Callback = (message: never) => void;

/** The guide's client: connects, reconnects, and resumes where it was. */
export class RealtimeStreamClient {
  readonly url: string;
  #options: Options;
  #listeners = new Map<string, Set<Callback>>();
  #cursor = new Cursor();
  #reconnect: Reconnect;
  #silence: Silence;
  #heartbeat: number;
  #socket: WebSocket | null = null;
  #state: StateChanged["state"] = "idle";
  #later: ReturnType<typeof setTimeout> | undefined; // the next attempt, or the next `subscribe`
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(url = "ws://localhost:8765", options: Options = {}) {
    this.url = url;
    this.#options = { ...options };
    this.#heartbeat = options.heartbeat ?? 15;
    this.#reconnect = new Reconnect(
      { ...BACKOFF, ...options.backoff },
      options.jitter ?? Math.random,
      options.attempts ?? Infinity,
    );
    this.#silence = new Silence(options.patience ?? PATIENCE);
  }

  get state(): StateChanged["state"] {
    return this.#state;
  }

  /** All quotes up to here were received; null before the first snapshot. */
  get position(): Position | null {
    return this.#cursor.position;
  }

  /** Connect, or stop waiting and try again at once. Throws SyntaxError for an invalid address. */
  connect(): void {
    if (this.#socket) return;
    const socket = (this.#socket = new (this.#options.WebSocket ?? WebSocket)(this.url));
    clearTimeout(this.#later);
    this.#watch(true);
    if (this.#state === "closed") this.#reconnect.failures = 0;
    this.#silence.begin(Date.now(), this.#heartbeat * 1000);
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#ended(event.code, event.reason);
    this.#enter("connecting");
  }

  /** Disconnect. `connect()` resumes where it was. */
  disconnect(): void {
    clearTimeout(this.#later);
    this.#drop();
    this.#watch(false);
    if (this.#state !== "closed") this.#enter("closed", { code: 1000 });
  }

  /** Listen to messages of one type, or to `state`. Returns a function that stops it. */
  subscribe<E extends keyof Events>(event: E, callback: (message: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(callback));
    return () => listeners.delete(callback);
  }

  /** Select what the server sends, now and after every reconnect. The default is the guide's: every quote, each cycle. */
  select(subscription: Subscription): void {
    this.#cursor.select({ ...subscription });
    this.#subscribe();
  }

  requestStatus(): void {
    this.send({ type: "status" });
  }

  ping(): void {
    this.send({ type: "ping" });
  }

  /** Authenticate: now, and with every later connection. */
  authenticate(token: string): void {
    this.#options.token = token;
    this.send({ type: "auth", token });
  }

  /** Send a message if connected. A `subscribe` is remembered, as by `select()`. */
  send(message: { type: string; [field: string]: unknown }): void {
    if (message.type === "subscribe") {
      const { type: _, id: __, ...subscription } = message;
      this.select(subscription);
    } else this.#transmit(message);
  }

  #transmit(message: object): void {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #subscribe(): void {
    if (this.#socket?.readyState !== 1) return;
    clearTimeout(this.#later);
    const request = { heartbeat: this.#heartbeat, ...this.#cursor.request() };
    this.#silence.begin(Date.now(), request.heartbeat * 1000);
    this.#transmit(request);
  }

  #opened(): void {
    this.#reconnect.opened(Date.now());
    const { token } = this.#options;
    if (token !== undefined) this.#transmit({ type: "auth", token });
    this.#subscribe();
    this.#enter("connected");
  }

  #receive(text: unknown): void {
    this.#silence.heard(Date.now());
    const message = parsed(text);
    if (!message) {
      this.#emit({ type: "error", message: "Invalid JSON message from the server", code: 0, retryable: false });
      return;
    }
    if (message.type === "shutdown") this.#reconnect.serverStops(message.reconnect_after_ms);
    if (message.type === "error") this.#retrySubscribing(message);
    if (this.#cursor.take(message)) this.#emit(message);
  }

  #retrySubscribing(error: ErrorMessage): void {
    if (!error.retryable || !this.#cursor.answers(error)) return;
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#subscribe(), this.#reconnect.delay());
  }

  #ended(code: number, reason: string): void {
    this.#drop();
    const delay = this.#reconnect.closed(code, Date.now());
    if (delay === null) {
      this.#watch(false);
      this.#enter("closed", { code, reason });
    } else {
      this.#later = setTimeout(() => this.connect(), delay);
      this.#enter("waiting", { code, reason, retryInMs: Math.round(delay) });
    }
  }

  /** Detach and close the socket. */
  #drop(): void {
    const socket = this.#socket;
    if (!socket) return;
    clearTimeout(this.#later);
    this.#socket = socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #watch(on: boolean): void {
    clearInterval(this.#timer);
    const each = Math.min(CHECK_EVERY, (this.#options.patience ?? PATIENCE) / 4);
    this.#timer = on ? setInterval(() => this.#checkSilence(false), each) : undefined;
    const change = on ? "addEventListener" : "removeEventListener";
    if (typeof document !== "undefined") {
      globalThis[change]("online", this.#awake);
      document[change]("visibilitychange", this.#awake);
    }
  }

  /** The device woke up or the network is back: check at once whether the connection is still alive. */
  #awake = (): void => {
    if (document.visibilityState !== "visible") return;
    if (this.#state === "waiting") this.connect();
    else this.#checkSilence(true);
  };

  #checkSilence(urgent: boolean): void {
    const open = this.#socket?.readyState === 1;
    if (!this.#socket || (urgent && !open)) return;
    const verdict = this.#silence.check(Date.now(), urgent);
    if (verdict === "ask" && open) this.ping();
    else if (verdict !== "wait") this.#ended(BROKEN, "silent");
  }

  #enter(state: StateChanged["state"], about: Partial<StateChanged> = {}): void {
    this.#state = state;
    const { failures: attempt } = this.#reconnect;
    const willReconnect = state !== "closed" && state !== "idle";
    this.#emit({ type: "state", state, attempt, retryInMs: null, code: null, reason: "", willReconnect, ...about });
  }

  /** A listener that throws does not affect the others. */
  #emit(message: Message | StateChanged): void {
    for (const callback of this.#listeners.get(message.type) ?? []) {
      try {
        callback(message as never);
      } catch (error) {
        console.error(error);
      }
    }
  }
}

function parsed(text: unknown): Message | null {
  try {
    const message = JSON.parse(text as string);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
