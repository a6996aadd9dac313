import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);

/** The compiler comes with the packages; nothing is downloaded. */
const compiler = { version: "0.8.37", path: require.resolve("solc/soljson.js"), preferWasm: true } as const;

/** The default: fit for contracts of which the size counts as much as the gas. The batch verifier needs viaIR. */
const contractSettings = { optimizer: { enabled: true, runs: 200 }, viaIR: true, evmVersion: "osaka" } as const;

/** The note tree hashes most of all: at few runs its constants would be stored compactly, a third dearer to use. */
const treeSettings = { ...contractSettings, optimizer: { enabled: true, runs: 1_000_000 } } as const;

/** The packaged Poseidon libraries are beyond viaIR: the compiler runs out of memory. */
const poseidonSettings = { ...contractSettings, viaIR: false } as const;

const poseidon = ["poseidon-solidity/PoseidonT3.sol", "poseidon-solidity/PoseidonT4.sol"];

/** Ethereum mainnet's rules: Osaka, 24 KB contracts, 60M gas per block, 2^24 gas per transaction. */
const mainnetRules = {
  type: "edr-simulated",
  chainType: "l1",
  chainId: 31337,
  hardfork: "osaka",
  allowUnlimitedContractSize: false,
  blockGasLimit: 60_000_000,
  transactionGasCap: 16_777_216,
  // As nodes of the main chain estimate: a call inside may run out of gas where the contract provides for it.
  gasEstimationMode: "topLevelSuccess",
} as const;

export default defineConfig({
  paths: { tests: { solidity: "test/solidity" } },
  solidity: {
    profiles: {
      default: {
        compilers: [{ ...compiler, settings: contractSettings }],
        overrides: {
          "contracts/libraries/NoteTree.sol": { ...compiler, settings: treeSettings },
          ...Object.fromEntries(poseidon.map((file) => [file, { ...compiler, settings: poseidonSettings }])),
        },
      },
    },
    npmFilesToBuild: poseidon,
    // `hardhat test solidity` compiles its own files; the other commands need not wait for them.
    splitTestsCompilation: true,
  },
  networks: { default: mainnetRules, node: mainnetRules },
});
