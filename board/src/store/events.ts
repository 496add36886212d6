/** What the server sends apart from quotes: providers, stores, alerts. */
import { signal } from "@preact/signals";
import type { Alert, Alerts, ProviderRow, Providers } from "@zlotick/client";
import { api } from "./api.ts";
import { greeting } from "./connection.ts";

const ALERTS_KEPT = 200;

/** One row for each provider, in the order in which they are asked. */
export const providers = signal<readonly ProviderRow[]>([]);
/** When the next cycle is due; null: unknown. */
export const nextCycle = signal<string | null>(null);
/** Newest first; null: unknown yet. */
export const alerts = signal<readonly Alert[] | null>(null);
/** The one that has just arrived; null: none recently. */
export const newestAlert = signal<Alert | null>(null);
/** The state of the list: `off` if the server evaluates no rules, `failed` if it did not answer. */
export const alertsAre = signal<"unknown" | "known" | "off" | "failed">("unknown");

/** The rows, and when the next cycle is due. */
export function takeProviders(answer: Providers): void {
  providers.value = answer.providers;
  nextCycle.value = answer.next_cycle;
}

export async function askProviders(): Promise<void> {
  try {
    takeProviders(await api<Providers>("/providers"));
  } catch {
    // the old rows stay; the connection shows what is wrong
  }
}

export async function askAlerts(): Promise<void> {
  if (greeting.value?.alerts === false) {
    alertsAre.value = "off";
    return;
  }
  try {
    alerts.value = (await api<Alerts>("/alerts")).data;
    alertsAre.value = "known";
  } catch {
    alertsAre.value = "failed";
  }
}

/** Add an alert; received twice, it is shown once. */
export function takeAlert(alert: Alert): void {
  const known = alerts.value ?? [];
  if (known.some((one) => one.id === alert.id)) return;
  alerts.value = [alert, ...known].slice(0, ALERTS_KEPT);
  newestAlert.value = alert;
}
