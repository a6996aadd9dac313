import type { Command } from "commander";
import { groupOf, type JsonOptions, withJson } from "./session.ts";

export type HomeOptions = JsonOptions & { readonly home?: string };

/** As commander gives them. */
export type AddOptions = HomeOptions & {
  readonly chain: string;
  readonly clearingHouse: string;
  readonly exchange: string;
  readonly fromBlock: string;
  readonly proxy?: string;
};

/** Registers `hedgerow network add|list|show|use|remove`. */
export function addNetworkCommands(program: Command): void {
  const network = groupOf(program, "network", "the places where one can trade: chain, clearing house and exchange");

  forHome(network.command("add"))
    .description("remember a network, after a look at its chain, contract and exchange")
    .argument("<name>", "small letters, digits and hyphens")
    .requiredOption("--chain <url>", "node of the chain")
    .requiredOption("--clearing-house <address>", "contract of the clearing house")
    .requiredOption("--exchange <url>", "exchange that serves it")
    .option("--from-block <number>", "block of the deployment", "0")
    .option("--proxy <url>", "reach all of it through socks5h://host:port, now and later")
    .addHelpText(
      "after",
      "\nExample:\n  hedgerow network add floor --chain https://node.example \\\n" +
        "    --exchange https://floor.example --from-block 1200 \\\n" +
        "    --clearing-house 0x0000000000000000000000000000000000000123",
    )
    .action(async (name: string, options: AddOptions) => (await run()).addNetwork(name, options));

  forHome(network.command("list"))
    .description("the networks, and which is chosen")
    .action(async (options: HomeOptions) => (await run()).showNetworks(options));

  forHome(network.command("show"))
    .description("what is known of a network")
    .argument("[name]", "the chosen one if left out")
    .action(async (name: string | undefined, options: HomeOptions) => (await run()).showNetwork(name, options));

  forHome(network.command("use"))
    .description("choose the network that commands mean when they name none")
    .argument("<name>")
    .action(async (name: string, options: HomeOptions) => (await run()).useNetwork(name, options));

  forHome(network.command("remove"))
    .description("forget a network; wallets and what they own stay")
    .argument("<name>")
    .action(async (name: string, options: HomeOptions) => (await run()).forgetNetwork(name, options));
}

const run = () => import("./networkRun.ts");

function forHome(command: Command): Command {
  return withJson(command).option("--home <directory>", "instead of $HEDGEROW_HOME or ~/.hedgerow");
}
