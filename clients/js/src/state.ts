import type { ServerMessage } from "./messages.ts";

/** The client's own event: the state of its connection changed. */
export interface StateChanged {
  type: "state";
  state: "idle" | "connecting" | "connected" | "waiting" | "closed";
  /** Failed attempts in a row. */
  attempt: number;
  /** Until the next attempt, while waiting. */
  retryInMs: number | null;
  /** The close code of the last connection; 1006 if it broke or could not be made. */
  code: number | null;
  reason: string;
  willReconnect: boolean;
}

/** Every message of the server. */
export type Message = ServerMessage;

/** What can be listened to, and what the listener receives. */
export type Events = { [M in Message | StateChanged as M["type"]]: M };
