import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { buildSchema, isObjectType } from "graphql";
import { defineConfig, type Plugin } from "vite";

const TEXT = /\.(js|css|html|svg|csv)$/;

/** Writes a .br and a .gz beside every text file; the gateway serves the one that the browser takes. */
function compressed(): Plugin {
  let folder = "dist";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir;
    },
    closeBundle() {
      for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
        if (!TEXT.test(entry)) continue;
        const path = join(folder, entry);
        const bytes = readFileSync(path);
        writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }));
        writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
      }
    },
  };
}

const SCHEMA = "../gateway/schema.graphql";

/** The module `virtual:doors`: which fields and arguments the server's schema has. What it has not is not offered on the page. */
function doors(): Plugin {
  return {
    name: "doors",
    resolveId: (id) => (id === "virtual:doors" ? id : null),
    load(id) {
      if (id !== "virtual:doors") return null;
      this.addWatchFile(SCHEMA);
      const types = Object.values(buildSchema(readFileSync(SCHEMA, "utf8")).getTypeMap()).filter((type) => !type.name.startsWith("__"));
      const names = types.filter(isObjectType).flatMap((type) =>
        Object.values(type.getFields()).flatMap((field) => [
          `${type.name}.${field.name}`,
          ...field.args.map((argument) => `${type.name}.${field.name}.${argument.name}`),
        ]),
      );
      return `const doors = new Set(${JSON.stringify(names)}); export const has = (door) => doors.has(door);`;
    },
  };
}

const server = process.env.SLUICE_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), doors(), compressed()],
  build: {
    target: "es2022",
    // The editor is a chunk of its own, loaded when it is wanted.
    chunkSizeWarningLimit: 600,
    // The policy allows scripts and styles from our own files only.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: {
    proxy: { "/api": server, "/graphql": { target: server, ws: true }, "/docs": server, "/page": server, "/openapi.json": server },
  },
});
