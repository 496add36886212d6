import { appendFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const STATIC = here("../src/zlotick/gateway/api/static");
const LICENCES = "assets/licenses.md";

/** Its package leaves the file out, and its licence asks for it. */
const NOTICE = `
## NOTICE of lightweight-charts

TradingView Lightweight Charts™
Copyright (с) 2025 TradingView, Inc. https://www.tradingview.com/
`;

const notice: Plugin = {
  name: "notice",
  closeBundle: () => appendFile(`${STATIC}/${LICENCES}`, NOTICE),
};

const sizes: Plugin = {
  name: "sizes",
  writeBundle(_, bundle) {
    const packed = Object.values(bundle).map(
      (file) => gzipSync(file.type === "chunk" ? file.code : file.source).length,
    );
    const total = packed.reduce((sum, size) => sum + size, 0);
    console.log(`board: ${(total / 1000).toFixed(1)} kB gzip in ${packed.length} files`);
  },
};

export default defineConfig({
  base: "./", // the page may be served under a path of a proxy
  resolve: { alias: { "@zlotick/client": here("../clients/js/src/index.ts") } },
  server: { proxy: { "/api": "http://localhost:8765", "/ws": { target: "ws://localhost:8765", ws: true } } },
  plugins: [notice, sizes],
  build: {
    outDir: STATIC,
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: LICENCES },
    modulePreload: { polyfill: false }, // an inline script would need a hole in the content policy
    assetsInlineLimit: 0,
  },
});
