/** The HTTP half of the gateway. */
import { token } from "./token.ts";

const TIMEOUT_MS = 10_000;
const TOO_MANY = 429;
/** Attempts while the server answers 429. */
const TRIES = 3;

/** The HTTP status of an error; 0: no answer. */
export class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The address of something that the gateway serves. Relative to the page: a proxy may have put both under a path. */
export const addressOf = (path: string): URL => new URL(path, document.baseURI);

/** The JSON at `api/v1` + path. Throws HttpError, or the signal's reason if it was aborted. */
export async function api<T>(path: string, signal?: AbortSignal): Promise<T> {
  let answer = await ask(path, signal);
  for (let tries = 1; answer.status === TOO_MANY && tries < TRIES; tries++) {
    await pause(answer);
    signal?.throwIfAborted();
    answer = await ask(path, signal);
  }
  if (!answer.ok) throw new HttpError(answer.status, answer.statusText);
  return (await answer.json()) as T;
}

async function ask(path: string, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const headers: HeadersInit = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  try {
    return await fetch(addressOf(`api/v1${path}`), {
      headers,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new HttpError(0, String(error));
  }
}

/** Wait as long as Retry-After says. */
function pause(answer: Response): Promise<void> {
  const seconds = Number(answer.headers.get("Retry-After")) || 1;
  return new Promise((go) => setTimeout(go, Math.min(seconds * 1000, TIMEOUT_MS)));
}
