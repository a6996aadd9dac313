import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);

/** The compiler comes with the packages; nothing is downloaded. */
const compiler = { version: "0.8.37", path: require.resolve("solc/soljson.js"), preferWasm: true } as const;

/** The default: fit for contracts of which the size counts as much as the gas. The batch verifier needs viaIR. */
const contractSettings = { optimizer: { enabled: true, runs: 200 }, viaIR: true, evmVersion: "osaka" } as const;

/** For straight-line arithmetic called very often. Unrolled Poseidon is beyond viaIR: the compiler runs out of memory. */
const hasherSettings = { optimizer: { enabled: true, runs: 1_000_000 }, viaIR: false, evmVersion: "osaka" } as const;

const hashers = ["poseidon-solidity/PoseidonT3.sol", "poseidon-solidity/PoseidonT4.sol"];

/** Ethereum mainnet's rules: Osaka, 24 KB contracts, 60M gas per block, 2^24 gas per transaction. */
const mainnetRules = {
  type: "edr-simulated",
  chainType: "l1",
  chainId: 31337,
  hardfork: "osaka",
  allowUnlimitedContractSize: false,
  blockGasLimit: 60_000_000,
  transactionGasCap: 16_777_216,
} as const;

export default defineConfig({
  paths: { tests: { solidity: "test/solidity" } },
  solidity: {
    profiles: {
      default: {
        compilers: [{ ...compiler, settings: contractSettings }],
        overrides: Object.fromEntries(hashers.map((file) => [file, { ...compiler, settings: hasherSettings }])),
      },
    },
    npmFilesToBuild: hashers,
    // `hardhat test solidity` compiles its own files; the other commands need not wait for them.
    splitTestsCompilation: true,
  },
  networks: { default: mainnetRules, node: mainnetRules },
});
