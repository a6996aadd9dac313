import { Command } from "commander";
import { addAgentCommands } from "../../src/cli/agent.ts";

/** `hedgerow agent` alone. */
const program = new Command("hedgerow");
addAgentCommands(program);
await program.parseAsync();
