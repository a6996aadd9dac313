import type { Command } from "commander";
import { type NetworkOptions, withJson, withNetwork } from "./session.ts";

/** As commander gives them. */
export type DoctorOptions = NetworkOptions & { readonly json?: true };

/** Registers `hedgerow doctor`. */
export function addDoctorCommands(program: Command): void {
  withNetwork(withJson(program.command("doctor")))
    .description("check that everything is in place: this machine, wallets, node, contract, keys, clock, exchange")
    .addHelpText(
      "after",
      "\nChanges nothing and needs no password. Without a network it looks at this\n" +
        "machine alone. Exit code 1 if something is missing, 0 if there are warnings at\nmost.",
    )
    .action(async (options: DoctorOptions) => {
      const { runDoctor } = await import("./doctorRun.ts");
      await runDoctor(options);
    });
}
