import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { z } from "zod";

/**
 * Writes src/protocol/abi.ts from the compiled contracts, so that every call, event and error is typed.
 * `--check` only says whether the file belongs to the contracts.
 */

const root = new URL("../", import.meta.url);
const target = new URL("src/protocol/abi.ts", root);

const abiSchema = z.array(z.looseObject({ type: z.string(), name: z.string().optional() }));
type Abi = z.infer<typeof abiSchema>;

/** Each exported ABI: its contract, and the linked libraries that can throw through it. */
const exports_ = [
  {
    name: "clearingHouseAbi",
    sources: [
      "contracts/ClearingHouse.sol/ClearingHouse",
      "contracts/libraries/BatchVerifier.sol/BatchVerifier",
      "contracts/libraries/NoteTree.sol/NoteTree",
      "contracts/libraries/Notes.sol/Notes",
      "contracts/libraries/Statements.sol/Statements",
      "contracts/libraries/Fills.sol/Fills",
      "contracts/libraries/ClearingCycle.sol/ClearingCycle",
    ],
  },
  { name: "marketRegistryAbi", sources: ["contracts/MarketRegistry.sol/MarketRegistry"] },
  { name: "testDollarAbi", sources: ["contracts/mocks/TestDollar.sol/TestDollar"] },
];

function abiOf(source: string): Abi {
  const file = new URL(`artifacts/${source}.json`, root);
  return z.object({ abi: abiSchema }).parse(JSON.parse(readFileSync(file, "utf8"))).abi;
}

function merged(sources: readonly string[]): Abi {
  const [contract = "", ...libraries] = sources;
  const abi = [...abiOf(contract)];
  const known = new Set(abi.map((entry) => JSON.stringify(entry)));
  for (const entry of libraries.flatMap(abiOf)) {
    if (entry.type !== "error" || known.has(JSON.stringify(entry))) continue;
    known.add(JSON.stringify(entry));
    abi.push(entry);
  }
  return abi;
}

async function generate(): Promise<string> {
  const parts = exports_.map(({ name, sources }) => {
    return `export const ${name} = ${JSON.stringify(merged(sources))} as const;\n`;
  });
  const source = ["// Written by scripts/generateAbi.ts from the compiled contracts.\n", ...parts].join("\n");
  return format(source, { ...(await resolveConfig(target)), filepath: fileURLToPath(target) });
}

const wanted = await generate();
const present = (() => {
  try {
    return readFileSync(target, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
})();
if (process.argv.includes("--check")) {
  const same = wanted === present;
  console.log(same ? "abi: up to date" : "abi: src/protocol/abi.ts is stale; run node scripts/generateAbi.ts");
  process.exitCode = same ? 0 : 1;
} else if (wanted !== present) {
  writeFileSync(target, wanted);
  console.log(`abi: wrote ${fileURLToPath(target)}`);
}
