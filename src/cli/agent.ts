import type { Command } from "commander";
import type { AgentOptions, AskOptions } from "./agentRun.ts";
import { withJson, withWallet } from "./session.ts";

const run = () => import("./agentRun.ts");

/** Adds agent, agent status and agent stop. */
export function addAgentCommands(program: Command): void {
  const agent = program.command("agent");
  withJson(withWallet(agent))
    .description("look after a wallet: close its tickets and renew its seat in time, watch its margin")
    .option("--policy <file>", "what it may do by itself, as JSON")
    .option("--notify <program>", "run for each event: the event as JSON on its input, a line as its argument")
    .option("--top-up-limit <amount>", "most that it deposits in one epoch when the margin is short")
    .option("--no-close-tickets", "keep tickets open while trading; in the settlement window they come back anyway")
    .option("--log-level <level>", "of the log on standard error: debug, info, warn, error or silent")
    .addOption(agent.createOption("--status", "as agent status").hideHelp())
    .addOption(agent.createOption("--stop", "as agent stop").hideHelp())
    .addHelpText(
      "after",
      "\nIt holds the wallet until it is told to end; the other commands go through it\nmeanwhile.\n\n" +
        "Examples:\n  hedgerow agent --notify ./tell-me.sh --top-up-limit 5000\n  hedgerow agent status",
    )
    .action(async (options: AgentOptions) => {
      const { agentStop, runAgent, agentStatus } = await run();
      if (options.status === true) await agentStatus(options);
      else if (options.stop === true) await agentStop(options);
      else await runAgent(options);
    });

  withJson(agent.command("status"))
    .description("say where the agent of a wallet stands")
    .action(async (_: unknown, command: Command) => (await run()).agentStatus(command.optsWithGlobals<AskOptions>()));

  withJson(agent.command("stop"))
    .description("tell the agent of a wallet to end")
    .action(async (_: unknown, command: Command) => (await run()).agentStop(command.optsWithGlobals<AskOptions>()));
}
