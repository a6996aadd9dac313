import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

/**
 * Which folders of src/ each folder may import from, besides itself.
 * cli -> simulation, verify -> exchange, trader, clearing -> api -> chain, prover -> protocol, market
 */
const mayImport = {
  // HTML as text: knows nothing of what it shows.
  html: [],
  protocol: [],
  market: ["protocol"],
  prover: ["protocol", "market"],
  chain: ["protocol", "market"],
  api: ["chain", "protocol", "market"],
  exchange: ["api", "chain", "prover", "protocol", "market"],
  trader: ["api", "chain", "prover", "protocol", "market", "html"],
  clearing: ["chain", "prover", "protocol", "market", "html"],
  // Checks the days of a clearing house from chain data alone: it shares no code with who ran them.
  verify: ["protocol", "market"],
  simulation: ["exchange", "trader", "clearing", "api", "chain", "prover", "protocol", "market"],
  cli: ["simulation", "verify", "exchange", "trader", "clearing", "api", "chain", "prover", "protocol", "market"],
};
const layers = Object.keys(mayImport);
const pure = ["protocol", "market", "html"];

const layerRules = layers.map((layer) => {
  const forbidden = layers.filter((other) => other !== layer && !mayImport[layer].includes(other));
  const patterns = [
    { regex: "^(\\.\\./)+(test|bench)/", message: "src/ does not import from test/ or bench/." },
    ...(layer === "cli" ? [] : [{ regex: "^(\\.\\./)+scripts/", message: "Only src/cli may call a script." }]),
    ...(forbidden.length === 0
      ? []
      : [
          {
            regex: `^(\\.\\./)+(src/)?(${forbidden.join("|")})/`,
            message: `src/${layer} may import from ${mayImport[layer].join(", ") || "no other folder of src/"} only.`,
          },
        ]),
    ...(pure.includes(layer)
      ? [{ regex: "^(node:(?!buffer)|viem/actions)", message: `src/${layer} is pure: no input or output.` }]
      : []),
  ];
  return { files: [`src/${layer}/**/*.ts`], rules: { "no-restricted-imports": ["error", { patterns }] } };
});

export default defineConfig(
  { ignores: ["node_modules/", ".cache/", "artifacts/", "cache/", "circuits/", "src/api/gen/"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      // Numbers and bigints read well in messages; anything else must be turned into text on purpose.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // Matters of taste: `type` or `interface`, and a short arrow function around a call that returns nothing.
      "@typescript-eslint/consistent-type-definitions": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      eqeqeq: "error",
      "no-console": "off",
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      // node:test collects the promises of test() and describe() itself.
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "describe", "suite", "it"] },
          ],
        },
      ],
      // A stand-in in a test may do nothing.
      "@typescript-eslint/no-empty-function": "off",
    },
  },
  layerRules,
);
