/** The HTTP half of the gateway. */
import { token } from "./token.ts";

const PATIENCE_MS = 10_000;
const TOO_MANY = 429;
/** Of a question that the server had no time for. */
const TRIES = 3;

/** The HTTP status of a refused request; 0 when there was no answer. */
export class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Of something that the gateway serves beside this page: a proxy may have put both under a path. */
export const addressOf = (path: string): URL => new URL(path, document.baseURI);

/** The JSON at `api/v1` + path. Raises Refused, or the signal's reason when it was given up. */
export async function api<T>(path: string, signal?: AbortSignal): Promise<T> {
  let answer = await ask(path, signal);
  for (let tries = 1; answer.status === TOO_MANY && tries < TRIES; tries++) {
    await pause(answer);
    signal?.throwIfAborted();
    answer = await ask(path, signal);
  }
  if (!answer.ok) throw new Refused(answer.status, answer.statusText);
  return (await answer.json()) as T;
}

async function ask(path: string, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const headers: HeadersInit = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  try {
    return await fetch(addressOf(`api/v1${path}`), { headers, signal: signal ? AbortSignal.any([signal, limit]) : limit });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Refused(0, String(error));
  }
}

/** As long as the server wants us to wait. */
function pause(answer: Response): Promise<void> {
  const seconds = Number(answer.headers.get("Retry-After")) || 1;
  return new Promise((go) => setTimeout(go, Math.min(seconds * 1000, PATIENCE_MS)));
}
