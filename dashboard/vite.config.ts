import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: { alias: { "@zlotick/client": here("../clients/js/src/index.ts") } },
  server: { proxy: { "/api": "http://localhost:8765", "/ws": { target: "ws://localhost:8765", ws: true } } },
  build: {
    outDir: here("../src/zlotick/gateway/static"),
    emptyOutDir: true,
    target: "es2022",
    license: true, // the texts of all licences, for the wheel
    modulePreload: { polyfill: false }, // an inline script would need a hole in the content policy
    assetsInlineLimit: 0,
  },
});
