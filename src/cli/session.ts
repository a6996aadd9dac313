import type { Command } from "commander";
import type { RunOptions, TraderService } from "../trader/commands.ts";
import type { Network } from "../trader/home.ts";
import type { ProgressStream } from "./progress.ts";

/*
 * What commands share: their options, and the way to a wallet. It is imported by every command's registration, so
 * whatever is heavy is imported when it is first needed.
 */

export type JsonOptions = { readonly json?: true };

export type NetworkOptions = { readonly home?: string; readonly network?: string; readonly proxy?: string };

/** Where a clerk's command acts, as text: the network's node and clearing house unless others are named. */
export type HouseOptions = NetworkOptions & {
  readonly chain?: string;
  readonly clearingHouse?: string;
  readonly chainId?: string;
  readonly fromBlock?: string;
};

/** Whose key pays. */
export type KeyOptions = { readonly keyFile?: string; readonly passwordFile?: string };

/** `account`: place of the account in the wallet (spec ACC-16), as text. */
export type WalletOptions = NetworkOptions & {
  readonly wallet?: string;
  readonly passwordFile?: string;
  readonly account?: string;
  /** Random wait before anything is sent, as "0-30s". */
  readonly delay?: string;
};

/** Adds `--json`. */
export function withJson(command: Command): Command {
  return option(command, "--json", "print one JSON object");
}

/** The options of where a clerk's command acts. */
export function withHouse(command: Command): Command {
  return withNetwork(command)
    .option("--chain <url>", "another node than the network's")
    .option("--clearing-house <address>", "another clearing house than the network's, with --chain")
    .option("--chain-id <number>", "refuse a node of another chain (with --chain)")
    .option("--from-block <number>", "block of the deployment (with --chain; default: 0)");
}

/** The options of whose key pays, and what that key is. */
export function withKey(command: Command, whose = "key of whoever pays for gas"): Command {
  return command
    .option("--key-file <file>", `${whose}, in hex or a keystore; readable by its owner only`)
    .option("--password-file <file>", "password of the keystore");
}

/** Adds `--home`, `--network`, `--proxy`. */
export function withNetwork(command: Command): Command {
  option(command, "--home <directory>", "instead of $HEDGEROW_HOME or ~/.hedgerow");
  option(command, "--network <name>", "instead of the chosen network");
  return option(command, "--proxy <url>", "send everything through socks5h://host:port");
}

/** Adds `--wallet`, `--password-file`, `--account`, and what a network needs. */
export function withWallet(command: Command): Command {
  option(command, "--wallet <name>", "instead of the chosen wallet");
  option(command, "--password-file <file>", "the wallet's password, in a file of yours only");
  option(command, "--account <place>", "account of the wallet: 0 is the first");
  return withNetwork(command);
}

/** What opens a service; tests put their own in its place. */
export type OpenService = (options: WalletOptions) => Promise<TraderService>;

/**
 * The wallet that the options name, ready for commands: through the daemon where one holds it, otherwise opened here
 * with its password. Throws what choosing the network and opening the wallet throw, ExchangeUnreachable and
 * ChainUnavailable.
 */
export async function openService(options: WalletOptions): Promise<TraderService> {
  const { openTrader } = await import("./openTrader.ts");
  return await openTrader(options);
}

/** The network that the options name, or the chosen one. Throws NothingChosen, NetworkNotFound, MalformedFile. */
export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const { chosenNetwork } = await import("./openTrader.ts");
  return chosenNetwork(options);
}

/** Directory of the wallet that the options name, or of the chosen one. Throws NothingChosen, BadName, MalformedFile. */
export async function walletDirectory(options: WalletOptions): Promise<string> {
  const { chosenWallet } = await import("./openTrader.ts");
  return chosenWallet(options);
}

/** Where commands meet the world; tests put their own in its place. */
export type Io = {
  readonly open: OpenService;
  /** Decimals of the network's collateral. */
  readonly decimals: (options: NetworkOptions) => Promise<number>;
  readonly print: (text: string) => void;
  /** To standard error. */
  readonly printError: (text: string) => void;
  readonly progress: ProgressStream;
};

export const TERMINAL: Io = {
  open: openService,
  decimals: async (options) => (await openNetwork(options)).decimals,
  print: (text) => console.log(text),
  printError: (text) => console.error(text),
  progress: process.stderr,
};

/**
 * Opens a wallet for one command, shows how far it is on standard error, and closes the wallet however it ends. Ctrl-C
 * aborts the signal that `work` gets. Throws what `work` throws, what openService throws, and Interrupted.
 */
export async function withService<T>(
  options: WalletOptions & JsonOptions,
  work: (service: TraderService, run: RunOptions) => Promise<T>,
  io: Io = TERMINAL,
): Promise<T> {
  const { untilInterrupted } = await import("./interrupt.ts");
  const { showProgress } = await import("./progress.ts");
  return await untilInterrupted(async (signal) => {
    const progress = showProgress(options.json === true, io.progress);
    try {
      const service = await io.open(options);
      try {
        return await work(ended(service, progress.end), { signal, onProgress: progress.on });
      } finally {
        await service.close();
      }
    } finally {
      progress.end();
    }
  });
}

/** The same service; what shows its progress is gone before its answer is printed. */
function ended(service: TraderService, end: () => void): TraderService {
  return { run: (name, params, run) => service.run(name, params, run).finally(end), close: () => service.close() };
}

/** The command of that name that has commands of its own; made if no other module has. */
export function groupOf(program: Command, name: string, description: string): Command {
  return program.commands.find((command) => command.name() === name) ?? program.command(name).description(description);
}

/** The end of a command's help: what people type. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  hedgerow ${line}`).join("\n")}`;
}

function option(command: Command, flags: string, description: string): Command {
  const long = flags.split(" ")[0];
  return command.options.some((each) => each.long === long) ? command : command.option(flags, description);
}
