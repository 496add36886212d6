/** The HTTP half of the gateway. */
import { token } from "./token.ts";

const PATIENCE_MS = 10_000;

/** The HTTP status of a refused request; 0 when there was no answer. */
export class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The JSON at `/api/v1` + path. Raises Refused, or the signal's reason when it was given up. */
export async function api<T>(path: string, signal?: AbortSignal): Promise<T> {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const headers: HeadersInit = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, { headers, signal: signal ? AbortSignal.any([signal, limit]) : limit });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Refused(0, String(error));
  }
  if (!answer.ok) throw new Refused(answer.status, answer.statusText);
  return (await answer.json()) as T;
}
