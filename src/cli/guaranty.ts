import type { Command } from "commander";
import type { CloseEarlyOptions } from "./closeEarly.ts";
import { examples, groupOf, type Io, TERMINAL, withJson, withNetwork } from "./session.ts";

/** As commander gives them. */
export type GuarantyOptions = Omit<CloseEarlyOptions, "market" | "dryRun">;

/** Adds `guaranty` with its commands. */
export function addGuarantyCommands(program: Command, io: Io = TERMINAL): void {
  const guaranty = groupOf(program, "guaranty", "what stands for defaults: close-out account, stake, guaranty fund");
  const placed = (name: string, description: string): Command =>
    withNetwork(withJson(guaranty.command(name)))
      .description(description)
      .option("--chain <url>", "another node than the network's")
      .option("--clearing-house <address>", "another clearing house than the network's, with --chain")
      .option("--chain-id <number>", "refuse a node of another chain (with --chain)");
  const paid = (name: string, description: string): Command =>
    placed(name, description)
      .option("--key-file <file>", "key of whoever pays, in hex or a keystore; readable by its owner only")
      .option("--password-file <file>", "password of the keystore");

  placed("show", "what each layer of the waterfall holds now, and at which ratio payments are made")
    .addHelpText("after", examples("guaranty show", "guaranty show --json"))
    .action(async (options: GuarantyOptions) => (await import("./guarantyRun.ts")).showGuaranty(options, io));
  paid("contribute <amount>", "add to the guaranty fund; nobody gets it back")
    .addHelpText("after", examples("guaranty contribute 50000 --key-file sponsor.key"))
    .action(async (amount: string, options: GuarantyOptions) =>
      (await import("./guarantyRun.ts")).payIn("contributeToFund", amount, options, io),
    );
  paid("stake <amount>", "add to the stake that stands for defaults while its payer is operator")
    .addHelpText("after", examples("guaranty stake 100000 --key-file operator.key"))
    .action(async (amount: string, options: GuarantyOptions) =>
      (await import("./guarantyRun.ts")).payIn("stake", amount, options, io),
    );
  paid("request-unstake", "ask for the stake: it can be taken on the second day after this one, and only then")
    .addHelpText("after", examples("guaranty request-unstake --key-file operator.key"))
    .action(async (options: GuarantyOptions) =>
      (await import("./guarantyRun.ts")).askBack("requestUnstake", options, io),
    );
  paid("unstake", "take the stake back on the day that was asked for")
    .addHelpText("after", examples("guaranty unstake --key-file operator.key"))
    .action(async (options: GuarantyOptions) => (await import("./guarantyRun.ts")).askBack("unstake", options, io));
}
