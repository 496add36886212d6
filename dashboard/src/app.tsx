import { selected } from "./store/index.ts";
import { slot } from "./slot.tsx";

const ChartPanel = slot(() => import("./panels/chart.tsx"));
const ProvidersPanel = slot(() => import("./panels/providers.tsx"));
const AlertsPanel = slot(() => import("./panels/alerts.tsx"));

export function App() {
  return (
    <main>
      {selected.value && <ChartPanel symbol={selected.value} />}
      <ProvidersPanel />
      <AlertsPanel />
    </main>
  );
}
