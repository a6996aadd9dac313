import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { encodePacked, keccak256, type Hex } from "viem";
import { z } from "zod";
import { HedgerowError } from "../src/protocol/errors.ts";

const root = new URL("../", import.meta.url);

const KEY_FILE = new URL("circuits/keys/verification_key.json", root);
const VERIFYING_KEY_FILE = new URL("contracts/libraries/VerifyingKey.sol", root);
const SINGLE_VERIFIER_FILE = new URL("contracts/mocks/Groth16Verifier.sol", root);

/** The generated contracts and the circuit's key do not belong together. */
export class StaleVerifyingKey extends HedgerowError {
  constructor(file: string) {
    super(
      "StaleVerifyingKey",
      `${file} does not match circuits/keys/verification_key.json (spec CIR-9): run node scripts/generateVerifyingKey.ts`,
      { file },
    );
  }
}

const coordinate = z
  .string()
  .regex(/^[0-9]+$/)
  .transform(BigInt);
const pointG1 = z.tuple([coordinate, coordinate, z.literal("1")]).transform(([x, y]) => [x, y] as const);
const extension = z.tuple([coordinate, coordinate]);
/** EIP-197 wants the imaginary part first; the key file has it second. */
const pointG2 = z
  .tuple([extension, extension, z.tuple([z.literal("1"), z.literal("0")])])
  .transform(([x, y]) => [x[1], x[0], y[1], y[0]] as const);

const keySchema = z.object({
  protocol: z.literal("groth16"),
  curve: z.literal("bn128"),
  nPublic: z.literal(25),
  vk_alpha_1: pointG1,
  vk_beta_2: pointG2,
  vk_gamma_2: pointG2,
  vk_delta_2: pointG2,
  IC: z.array(pointG1).length(26),
});

/** A Groth16 verifying key as the contracts hold it: G2 coordinates imaginary part first. */
export type VerifyingKey = Readonly<{
  alpha: readonly bigint[];
  beta: readonly bigint[];
  gamma: readonly bigint[];
  delta: readonly bigint[];
  ic: readonly (readonly bigint[])[];
}>;

/** Reads the verifying key that snarkjs exported. Throws a ZodError if it is not one of this circuit. */
export function parseVerifyingKey(json: unknown): VerifyingKey {
  const key = keySchema.parse(json);
  return { alpha: key.vk_alpha_1, beta: key.vk_beta_2, gamma: key.vk_gamma_2, delta: key.vk_delta_2, ic: key.IC };
}

/** keccak256 of all coordinates as 32-byte words: alpha, beta, gamma, delta, IC_0 to IC_25 (spec CIR-9). */
export function verifyingKeyHash(key: VerifyingKey): Hex {
  const words = [key.alpha, key.beta, key.gamma, key.delta, ...key.ic].flat();
  return keccak256(encodePacked(["uint256[]"], [words]));
}

function verifyingKeyContract(key: VerifyingKey): string {
  const g2 = (name: string, point: readonly bigint[]) => `
    function ${name}() internal pure returns (uint256[4] memory point) {
${point.map((word, i) => `        point[${i}] = ${word};`).join("\n")}
    }
`;
  return `// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// Generated from circuits/keys/verification_key.json by scripts/generateVerifyingKey.ts. Do not edit.
// G2 coordinates come imaginary part first, as EIP-197 wants them.
library VerifyingKey {
    // keccak256 of all coordinates: alpha, beta, gamma, delta, ic.
    bytes32 internal constant HASH = ${verifyingKeyHash(key)};

    uint256 internal constant ALPHA_X = ${key.alpha[0]};
    uint256 internal constant ALPHA_Y = ${key.alpha[1]};
${g2("beta", key.beta)}${g2("gamma", key.gamma)}${g2("delta", key.delta)}
    // x and y of IC_0, then of the point of each public signal.
    function ic() internal pure returns (uint256[52] memory points) {
${key.ic
  .flat()
  .map((word, i) => `        points[${i}] = ${word};`)
  .join("\n")}
    }
}
`;
}

type TemplateEngine = { render(template: string, data: object): string };

function isTemplateEngine(value: unknown): value is TemplateEngine {
  return typeof value === "object" && value !== null && "render" in value && typeof value.render === "function";
}

/** What snarkjs itself generates for one proof at a time: its own template, rendered by its own engine. */
function singleVerifierContract(json: object): string {
  const snarkjs = createRequire(createRequire(import.meta.url).resolve("snarkjs"));
  const engine: unknown = snarkjs("ejs");
  if (!isTemplateEngine(engine)) throw new HedgerowError("TemplateEngineMissing", "snarkjs no longer brings ejs along");
  const template = snarkjs.resolve("snarkjs").replace(/build[/\\].*$/, "templates/verifier_groth16.sol.ejs");
  const source = engine.render(readFileSync(template, "utf8"), json);
  return source.replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
}

function generate(): readonly { readonly file: URL; readonly source: string }[] {
  const json: unknown = JSON.parse(readFileSync(KEY_FILE, "utf8"));
  const key = parseVerifyingKey(json);
  return [
    { file: VERIFYING_KEY_FILE, source: verifyingKeyContract(key) },
    { file: SINGLE_VERIFIER_FILE, source: singleVerifierContract(z.looseObject({}).parse(json)) },
  ];
}

/**
 * Writes the verifying key library and the single verifier from circuits/keys/verification_key.json (spec CIR-9).
 * The output depends on that file alone.
 */
export function writeVerifyingKeyContracts(): void {
  for (const { file, source } of generate()) writeFileSync(file, source);
}

/** Throws StaleVerifyingKey if a generated contract is not what writeVerifyingKeyContracts would write. */
export function checkVerifyingKeyContracts(): void {
  for (const { file, source } of generate()) {
    if (readFileSync(file, "utf8") !== source) throw new StaleVerifyingKey(file.pathname.slice(root.pathname.length));
  }
}

if (import.meta.main) {
  if (process.argv.includes("--check")) {
    checkVerifyingKeyContracts();
    console.log("verifying key contracts: match the circuit's key");
  } else {
    writeVerifyingKeyContracts();
    console.log("verifying key contracts: written");
  }
}
