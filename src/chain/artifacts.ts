import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Abi, Account, Address, Chain, Hex, PublicClient, Transport, WalletClient } from "viem";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";

const ARTIFACTS = resolve(import.meta.dirname, "../../artifacts");

/** No compiled contract of this name, or several. */
export class ArtifactNotFound extends HedgerowError {
  constructor(name: string, found: readonly string[]) {
    const what = found.length === 0 ? "is not compiled" : `is ambiguous (${found.join(", ")})`;
    super("ArtifactNotFound", `contract ${name} ${what}: run node scripts/compile.ts`, { name });
  }
}

/** A contract's bytecode calls a library whose address was not given. */
export class LibraryNotLinked extends HedgerowError {
  constructor(contract: string, library: string) {
    super("LibraryNotLinked", `${contract} needs the address of library ${library}: deploy it first`, {
      contract,
      library,
    });
  }
}

/** A deployment was mined and failed. */
export class DeploymentFailed extends HedgerowError {
  constructor(name: string, transaction: Hex) {
    super("DeploymentFailed", `the deployment of ${name} was reverted in transaction ${transaction}`, {
      name,
      transaction,
    });
  }
}

/** A place in the bytecode, in bytes, that takes the address of a library. */
export type LinkReference = Readonly<{ library: string; source: string; start: number }>;

/** A compiled contract. `bytecode` holds placeholders where `linkReferences` says; `size` is its size on chain in bytes. */
export type Artifact = Readonly<{
  name: string;
  source: string;
  abi: Abi;
  bytecode: string;
  size: number;
  linkReferences: readonly LinkReference[];
}>;

/** Addresses of deployed libraries by name. */
export type Libraries = Readonly<Record<string, Address>>;

/** A deployed contract: its ABI with the errors of its libraries, the libraries it calls, and the gas of all of it. */
export type Deployment = Readonly<{ address: Address; abi: Abi; libraries: Libraries; gasUsed: bigint }>;

const artifactSchema = z
  .object({
    contractName: z.string(),
    inputSourceName: z.string(),
    abi: z.array(z.custom<Abi[number]>((item) => z.looseObject({ type: z.string() }).safeParse(item).success)),
    bytecode: z.string().startsWith("0x"),
    deployedBytecode: z.string().startsWith("0x"),
    linkReferences: z.record(
      z.string(),
      z.record(z.string(), z.array(z.object({ start: z.int().nonnegative(), length: z.literal(20) }))),
    ),
  })
  .transform((json): Artifact => ({
    name: json.contractName,
    source: json.inputSourceName,
    abi: json.abi,
    bytecode: json.bytecode,
    size: (json.deployedBytecode.length - 2) / 2,
    linkReferences: Object.entries(json.linkReferences).flatMap(([source, libraries]) =>
      Object.entries(libraries).flatMap(([library, places]) => places.map(({ start }) => ({ library, source, start }))),
    ),
  }));

/** Reads a compiled contract by its name. Throws ArtifactNotFound unless exactly one is called so. */
export function loadArtifact(name: string): Artifact {
  const found = globSync(`**/*.sol/${name}.json`, { cwd: ARTIFACTS });
  const [file] = found;
  if (file === undefined || found.length > 1) throw new ArtifactNotFound(name, found);
  return artifactSchema.parse(JSON.parse(readFileSync(join(ARTIFACTS, file), "utf8")));
}

/** The creation code with the libraries' addresses in place. Throws LibraryNotLinked if one is missing. */
export function linkBytecode(artifact: Artifact, libraries: Libraries): Hex {
  let code = artifact.bytecode.slice(2);
  for (const { library, start } of artifact.linkReferences) {
    const address = libraries[library];
    if (address === undefined) throw new LibraryNotLinked(artifact.name, library);
    code = code.slice(0, 2 * start) + address.slice(2).toLowerCase() + code.slice(2 * (start + 20));
  }
  return `0x${code}`;
}

/** The libraries a contract calls, theirs included, each once and after those that it calls itself. */
export function librariesOf(artifact: Artifact): readonly Artifact[] {
  const ordered = new Map<string, Artifact>();
  const visit = (caller: Artifact): void => {
    for (const { library } of caller.linkReferences) {
      if (ordered.has(library)) continue;
      const callee = loadArtifact(library);
      visit(callee);
      ordered.set(library, callee);
    }
  };
  visit(artifact);
  return [...ordered.values()];
}

/** A contract's ABI and the errors of the libraries it calls, which it passes on. */
export function abiWithLibraryErrors(artifact: Artifact): Abi {
  const errors = librariesOf(artifact).flatMap((library) => library.abi.filter((item) => item.type === "error"));
  const known = new Set(artifact.abi.map((item) => JSON.stringify(item)));
  return [...artifact.abi, ...errors.filter((item) => !known.has(JSON.stringify(item)))];
}

/**
 * Deploys a contract and, before it, the libraries it calls, each once; those in `deployed` are taken as they are.
 * Waits for the receipts. Throws ArtifactNotFound, or DeploymentFailed if a transaction is reverted.
 */
export async function deployWithLibraries(
  walletClient: WalletClient<Transport, Chain, Account>,
  publicClient: PublicClient,
  name: string,
  args: readonly unknown[] = [],
  deployed: Libraries = {},
): Promise<Deployment> {
  const artifact = loadArtifact(name);
  const libraries: Record<string, Address> = { ...deployed };
  let gasUsed = 0n;

  const deploy = async (part: Artifact, partArgs: readonly unknown[]): Promise<Address> => {
    const bytecode = linkBytecode(part, libraries);
    const hash = await walletClient.deployContract({ abi: part.abi, bytecode, args: partArgs });
    const receipt = await publicClient.waitForTransactionReceipt({ hash });
    const address = receipt.contractAddress ?? undefined;
    if (receipt.status !== "success" || address === undefined) throw new DeploymentFailed(part.name, hash);
    gasUsed += receipt.gasUsed;
    return address;
  };

  for (const library of librariesOf(artifact)) {
    libraries[library.name] ??= await deploy(library, []);
  }
  const address = await deploy(artifact, args);
  return { address, abi: abiWithLibraryErrors(artifact), libraries, gasUsed };
}
