import { Command } from "commander";
import type { ExchangeCommandOptions } from "./exchange.ts";
import { addAgentCommands } from "./agent.ts";
import { addAuctionCommands } from "./auction.ts";
import { addBotsCommands } from "./bots.ts";
import { addCloseEarlyCommands } from "./closeEarly.ts";
import { addGuarantyCommands } from "./guaranty.ts";
import { addDoctorCommands } from "./doctor.ts";
import { FIRST_STEPS } from "./firstSteps.ts";
import { addLocalCommands } from "./local.ts";
import { addMarketCommands } from "./markets.ts";
import type { MatchOptions } from "./match.ts";
import { addNetworkCommands } from "./network.ts";
import { addPrivacyCommands } from "./privacy.ts";
import { addReportCommands } from "./reports.ts";
import { addRunCommands } from "./run.ts";
import { addScheduleCommands } from "./schedule.ts";
import { groupOf, type Io, TERMINAL, withJson } from "./session.ts";
import { addSettleDayCommands } from "./settleDay.ts";
import { addSimulateCommand } from "./simulate.ts";
import { addAccountCommands, addTradeCommands } from "./trade.ts";
import { addVerifyDayCommands } from "./verifyDay.ts";
import { addWalletCommands } from "./wallet.ts";
import { folded } from "./wrapped.ts";
import manifest from "../../package.json" with { type: "json" };

/** The commands in the order of the help, under their headings. What is in none comes last. */
const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ["Begin:", ["local", "network", "wallet", "doctor"]],
  ["Money:", ["deposit", "fund", "withdraw", "balance", "history", "statement", "audit"]],
  ["Markets:", ["markets", "book", "trades", "candles", "watch"]],
  ["Orders:", ["buy", "sell", "orders", "cancel", "replace", "resume"]],
  ["Account:", ["ticket", "auction", "renew", "seat", "catch-up", "privacy", "agent"]],
  ["Many at once:", ["run", "bots", "match"]],
  ["Operator:", ["exchange", "settle-day", "close-early", "schedule", "guaranty", "verify-day", "demo", "simulate"]],
];
const HELP_WIDTH = 80;
const LAST_GROUP = "Help:";

const COMMAND_WIDTH = 41;

const BEGINNING = `A futures exchange on which nobody sees what you hold, and everybody can check
that you can pay.

From nothing to a filled, private order (the last four in another terminal):
${FIRST_STEPS.map(([typed, what]) => `  ${typed.padEnd(COMMAND_WIDTH)}${what}`).join("\n")}
`;

const LAST_WORDS = `
hedgerow help COMMAND, or COMMAND --help, says more, with examples.
hedgerow explain says what a refusal means, and what to do.
Exit codes: 0 done, 1 a fault, 2 wrong usage, 3 refused, 4 unreachable,
5 wallet, 130 Ctrl-C.`;

/** The whole command line. Nothing runs, and nothing heavy is loaded, before one of its actions is called. */
export function buildProgram(io: Io = TERMINAL): Command {
  const program = new Command("hedgerow")
    .version(manifest.version, "-V, --version", "print the version")
    .usage("COMMAND [options]")
    .configureHelp({
      visibleCommands: (command) => inOrder(command),
      groupItems: (_, visible, groupOfItem) => Map.groupBy(visible, groupOfItem),
      subcommandTerm: (command) => (command.parent?.parent ? fullTerm(command) : command.name()),
    })
    .addHelpText("before", ({ command }) => (command.parent === null ? BEGINNING : ""))
    .addHelpText("after", ({ command }) => (command.parent === null ? LAST_WORDS : ""))
    .exitOverride()
    // Failures are told in one place, by failure.ts.
    .configureOutput({
      outputError: () => undefined,
      writeOut: (text) => io.print(folded(text.trimEnd(), HELP_WIDTH)),
      writeErr: (text) => io.printError(folded(text.trimEnd(), HELP_WIDTH)),
    });

  addLocalCommands(program);
  addNetworkCommands(program);
  addDoctorCommands(program);
  addWalletCommands(program, io);
  addReportCommands(program, io);
  addMarketCommands(program);
  addTradeCommands(program, io);
  addAccountCommands(program, io);
  addAuctionCommands(program, io);
  addPrivacyCommands(program, io);
  addAgentCommands(program);
  addRunCommands(program);
  addBotsCommands(program);
  addScheduleCommands(program, io);
  addCloseEarlyCommands(program, io);
  addGuarantyCommands(program, io);
  addSettleDayCommands(program, io);
  addSimulateCommand(program);
  addVerifyDayCommands(program, io);
  addToolCommands(program);
  addHelpCommands(program, io);
  for (const [heading, names] of GROUPS) {
    for (const command of program.commands) if (names.includes(command.name())) command.helpGroup(heading);
  }
  for (const command of program.commands) if (command.helpGroup() === "") command.helpGroup(LAST_GROUP);
  return program;
}

function inOrder(command: Command): Command[] {
  const names = GROUPS.flatMap(([, members]) => members);
  const rank = (name: string): number => (names.includes(name) ? names.indexOf(name) : names.length);
  const visible = command.commands.filter((each) => !("_hidden" in each && each._hidden === true));
  return command.parent === null ? visible.sort((a, b) => rank(a.name()) - rank(b.name())) : visible;
}

function fullTerm(command: Command): string {
  const args = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [command.name(), ...args].join(" ");
}

function addHelpCommands(program: Command, io: Io): void {
  withJson(program.command("explain"))
    .description("say in plain words why something was refused, and what to do")
    .argument("[code]", "as it stands in brackets behind a refusal; all of them if left out")
    .addHelpText("after", "\nExamples:\n  hedgerow explain TicketBelowMargin\n  hedgerow explain Matching.OffLimits")
    .action(async (code: string | undefined, options: { json?: true }) => {
      const { explain } = await import("./explain.ts");
      explain(code, options, io.print);
    });

  const completion = groupOf(program, "completion", "print a script that completes commands in your shell");
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const load = { bash: "source <(hedgerow completion bash)", zsh: "source <(hedgerow completion zsh)" };
    completion
      .command(shell)
      .description(`for ${shell}`)
      .addHelpText(
        "after",
        shell === "fish"
          ? "\n  hedgerow completion fish > ~/.config/fish/completions/hedgerow.fish"
          : `\nIn your shell's start file:\n  ${load[shell]}`,
      )
      .action(async () => {
        const { completionScript } = await import("./completion.ts");
        io.print(completionScript(shell, program));
      });
  }

  withJson(program.command("version"))
    .description("print the versions of Hedgerow and Node")
    .action((options: { json?: true }) => {
      const versions = { hedgerow: manifest.version, node: process.versions.node };
      io.print(options.json ? JSON.stringify(versions) : `hedgerow ${manifest.version}, Node ${versions.node}`);
    });
}

function addToolCommands(program: Command): void {
  program
    .command("demo")
    .description("play a trading day on a local chain; demo --help says more")
    .argument("[arguments...]")
    .helpOption(false)
    .allowUnknownOption()
    .action(async (args: string[]) => {
      const { runDemo } = await import("../../scripts/demo.ts");
      await runDemo(args);
    });

  program
    .command("match")
    .description("run recorded orders through the matching engine alone, and write what they trade")
    .requiredOption("--commands <file>", "CSV: seq,time_ns,op,order_id,side,price,size,tif; more columns are ignored")
    .requiredOption("--fills <file>", "what is written: seq,n,taker_order_id,maker_order_id,price,size")
    .option("--book <file>", "what rests at the beginning, in priority order: order_id,side,price,size")
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      "\nA file - is standard input or output; what ends in .gz is unpacked. Wrong input:\nexit code 2.",
    )
    .action(async (options: MatchOptions) => {
      const { runMatch } = await import("./match.ts");
      await runMatch(options);
    });

  program
    .command("exchange")
    .description("run an exchange: take orders over the network, match them, and post batches on chain")
    .requiredOption("--chain <url>", "node of the chain")
    .requiredOption("--clearing-house <address>", "contract of the clearing house")
    .requiredOption("--journal <directory>", "where the exchange keeps what it has taken; made if it is not there")
    .requiredOption("--key <file>", "operator's key in hex, or a keystore; readable by its owner only")
    .option("--password-file <file>", "password of the keystore")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on; 0: any that is free", "7700")
    .option("--chain-id <number>", "refuse a node of another chain")
    .option("--from-block <number>", "block of the deployment", "0")
    .option("--batch-size <number>", "post a batch when so many fills and transitions wait", "100")
    .option("--batch-ms <number>", "or when the first has waited so long", "2000")
    .option("--halt-after <seconds>", "halt a market that is locked at a price limit for so long")
    .option("--halt-for <seconds>", "length of such a halt")
    .option("--snapshot-every <records>", "take a snapshot after so many records, so that a restart stays quick")
    .option("--transitions-per-second <number>", "transitions that one connection may send (default: 5)")
    .option("--connections-per-address <number>", "connections that one address may open (default: 64)")
    .option("--log-level <level>", "debug, info, warn, error or silent", "info")
    .addHelpText(
      "after",
      "\nThe log goes to standard error as JSON lines; /healthz, /readyz and /metrics\nanswer on the port.",
    )
    .action(async (options: ExchangeCommandOptions) => {
      const { serveExchange } = await import("./exchange.ts");
      await serveExchange(options);
    });
}
