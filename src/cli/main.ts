import { Command } from "commander";
import type { ExchangeCommandOptions } from "./exchange.ts";
import type { MatchOptions } from "./match.ts";
import manifest from "../../package.json" with { type: "json" };

/**
 * The command line. Each command is imported only when it runs, so that help comes at once.
 */
const program = new Command("hedgerow")
  .description("A futures exchange on which nobody sees what you hold and everybody can check that you can pay.")
  .version(manifest.version)
  .showHelpAfterError();

program
  .command("version")
  .description("print the versions of Hedgerow and Node")
  .option("--json", "print one JSON object")
  .action((options: { json?: true }) => {
    const versions = { hedgerow: manifest.version, node: process.versions.node };
    console.log(options.json ? JSON.stringify(versions) : `hedgerow ${manifest.version}, Node ${versions.node}`);
  });

program
  .command("doctor")
  .description("check that everything Hedgerow needs is in place")
  .option("--json", "print one JSON object")
  .action(async (options: { json?: true }) => {
    const { examine } = await import("./doctor.ts");
    const findings = examine();
    const ok = findings.every((finding) => finding.ok);
    if (options.json) {
      console.log(JSON.stringify({ ok, findings }));
    } else {
      for (const { ok, what, found, remedy } of findings) {
        console.log(`${ok ? "ok     " : "MISSING"} ${what}: ${found}${ok ? "" : ` -> ${remedy}`}`);
      }
    }
    process.exitCode = ok ? 0 : 1;
  });

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
    "\nA file - is standard input or output; what ends in .gz is unpacked. Wrong input: exit code 2.",
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
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
    "\nThe log goes to standard error as JSON lines; /healthz, /readyz and /metrics answer on the port.",
  )
  .action(async (options: ExchangeCommandOptions) => {
    const { serveExchange } = await import("./exchange.ts");
    await serveExchange(options);
  });

if (process.argv.length <= 2) program.help();
await program.parseAsync();
