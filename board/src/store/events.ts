/** What the server tells beside quotes: sources, stores, alerts. */
import { signal } from "@preact/signals";
import type { Alert, ProviderRow } from "@zlotick/client";
import { api } from "./api.ts";
import { greeting } from "./connection.ts";

const ALERTS_KEPT = 200;

/** The scoreboard, in the order of asking. */
export const providers = signal<readonly ProviderRow[]>([]);
/** When the next cycle is due; null: not known. */
export const nextCycle = signal<string | null>(null);
/** Newest first; null: not told yet. */
export const alerts = signal<readonly Alert[] | null>(null);
/** The one that has just come; null: none lately. */
export const newestAlert = signal<Alert | null>(null);
/** What is known of the list: `off` where the server evaluates no rules, `failed` when it did not answer. */
export const alertsAre = signal<"unknown" | "known" | "off" | "failed">("unknown");

export async function askProviders(): Promise<void> {
  try {
    const told = await api<{ next_cycle: string | null; providers: ProviderRow[] }>("/providers");
    providers.value = told.providers;
    nextCycle.value = told.next_cycle;
  } catch {
    // the old rows stay; the connection says what is wrong
  }
}

export async function askAlerts(): Promise<void> {
  if (greeting.value?.alerts === false) {
    alertsAre.value = "off";
    return;
  }
  try {
    const told = await api<{ data: Alert[] }>("/alerts");
    alerts.value = told.data;
    alertsAre.value = "known";
  } catch {
    alertsAre.value = "failed";
  }
}

/** One more alert; told twice, it is shown once. */
export function takeAlert(alert: Alert): void {
  const known = alerts.value ?? [];
  if (known.some((one) => one.id === alert.id)) return;
  alerts.value = [alert, ...known].slice(0, ALERTS_KEPT);
  newestAlert.value = alert;
}
