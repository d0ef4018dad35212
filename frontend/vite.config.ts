import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { buildSchema, isObjectType } from "graphql";
import { defineConfig, type Plugin } from "vite";

const TEXT = /\.(js|css|html|svg|csv)$/;

/** Writes a .br and a .gz beside every text file; the gateway serves the one that the browser accepts. */
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

/** The module `virtual:schema`: the fields and arguments of the schema. The page hides features that it does not have. */
function schemaFields(): Plugin {
  return {
    name: "schema-fields",
    resolveId: (id) => (id === "virtual:schema" ? id : null),
    load(id) {
      if (id !== "virtual:schema") return null;
      this.addWatchFile(SCHEMA);
      const types = Object.values(buildSchema(readFileSync(SCHEMA, "utf8")).getTypeMap()).filter((type) => !type.name.startsWith("__"));
      const names = types.filter(isObjectType).flatMap((type) =>
        Object.values(type.getFields()).flatMap((field) => [
          `${type.name}.${field.name}`,
          ...field.args.map((argument) => `${type.name}.${field.name}.${argument.name}`),
        ]),
      );
      return `const fields = new Set(${JSON.stringify(names)}); export const has = (field) => fields.has(field);`;
    },
  };
}

const server = process.env.SLUICE_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), schemaFields(), compressed()],
  build: {
    target: "es2022",
    // The editor is a large chunk, loaded on demand.
    chunkSizeWarningLimit: 600,
    // The content security policy allows scripts and styles only from files of this origin.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: {
    proxy: { "/api": server, "/graphql": { target: server, ws: true }, "/docs": server, "/page": server, "/openapi.json": server },
  },
});
