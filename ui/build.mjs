// Builds the page: `npm ci && npm run build`, or `node build.mjs FOLDER` for another folder.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "llama_bedrock", "app", "static");
const source = join(here, "src");
const modules = join(here, "node_modules");

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const { outputFiles: built } = await build({
  entryPoints: [join(source, "page.jsx"), join(source, "page.css")],
  outdir: out,
  write: false,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  external: ["/static/*"],
  legalComments: "none",
  logLevel: "warning",
});
const textOf = (kind) => built.find(({ path }) => path.endsWith(kind)).text;
writeFileSync(join(out, "page.js"), textOf(".js"));
// The style stands in the page: it would be one journey more before anything is painted.
const page = readFileSync(join(source, "index.html"), "utf8");
writeFileSync(join(out, "index.html"), page.replace("<style></style>", () => `<style>${textOf(".css").trim()}</style>`));
// pdf.js as its makers built it; the page loads it when a PDF is opened.
cpSync(join(modules, "pdfjs-dist/build/pdf.min.mjs"), join(out, "pdf.js"));
cpSync(join(modules, "pdfjs-dist/build/pdf.worker.min.mjs"), join(out, "pdf.worker.js"));
// Its decoders of JPEG 2000, JBIG2 and colour profiles, and the character maps of Chinese, Japanese and Korean fonts.
const decoders = ["openjpeg.wasm", "jbig2.wasm", "qcms_bg.wasm"];
for (const name of decoders) cpSync(join(modules, "pdfjs-dist/wasm", name), join(out, name));
cpSync(join(modules, "pdfjs-dist/cmaps"), join(out, "cmaps"), { recursive: true });

// The licences of what is built in, and what the files were built from: a test compares it without node.
const packages = ["preact", "markdown-it", "dompurify", "pdfjs-dist", "entities", "linkify-it", "mdurl", "punycode.js", "uc.micro"];
const licence = (name) => {
  const file = readdirSync(join(modules, name)).find((entry) => /^licen[cs]e/i.test(entry));
  const { version } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(modules, name, file), "utf8").trim()}\n`;
};
const present = packages.filter((name) => existsSync(join(modules, name)));
const wasm = join(modules, "pdfjs-dist/wasm");
const further = readdirSync(wasm).filter((name) => name.startsWith("LICENSE")).sort()
  .map((name) => `pdfjs-dist/wasm/${name}\n\n${readFileSync(join(wasm, name), "utf8").trim()}\n`);
writeFileSync(join(out, "licences.txt"), [...present.map(licence), ...further].join(`\n${"-".repeat(80)}\n\n`));

const hash = createHash("sha256");
const sources = readdirSync(source).sort().map((name) => join(source, name));
for (const file of [join(here, "build.mjs"), join(here, "package-lock.json"), ...sources]) hash.update(readFileSync(file));
writeFileSync(join(out, "sources.sha256"), `${hash.digest("hex")}\n`);
