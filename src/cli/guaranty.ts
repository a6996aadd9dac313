import type { Command } from "commander";
import {
  examples,
  groupOf,
  type HouseOptions,
  type Io,
  type JsonOptions,
  type KeyOptions,
  TERMINAL,
  withHouse,
  withJson,
  withKey,
} from "./session.ts";

/** As commander gives them. */
export type GuarantyOptions = HouseOptions & KeyOptions & JsonOptions;

/** Adds `guaranty` with its commands. */
export function addGuarantyCommands(program: Command, io: Io = TERMINAL): void {
  const guaranty = groupOf(program, "guaranty", "what stands for defaults: close-out account, stake, guaranty fund");
  const placed = (name: string, description: string): Command =>
    withHouse(withJson(guaranty.command(name))).description(description);
  const paid = (name: string, description: string): Command =>
    withKey(placed(name, description), "key of whoever pays");

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
