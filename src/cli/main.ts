import { Command } from "commander";
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

if (process.argv.length <= 2) program.help();
await program.parseAsync();
