import { pino } from "pino";
import { HedgerowError } from "../protocol/errors.ts";
import { addressOf } from "../protocol/keys.ts";
import { Agent } from "../trader/agent/agent.ts";
import { type AgentClient, connectAgent } from "../trader/agent/client.ts";
import { surroundingsOf } from "../trader/agent/look.ts";
import { type AgentEvent, programNotifier } from "../trader/agent/notify.ts";
import { type Policy, policySchema, readPolicy } from "../trader/agent/policy.ts";
import { AgentAlreadyRuns } from "../trader/agent/server.ts";
import { fitsSocket, socketPathOf, SocketPathTooLong } from "../trader/agent/socketPath.ts";
import type { AgentStatus } from "../trader/agent/status.ts";
import { topUpsIn } from "../trader/agent/topUps.ts";
import type { Network } from "../trader/home.ts";
import { formatAmount, parseAmount } from "../trader/markets.ts";
import { openWallet } from "../trader/store.ts";
import { WrongUsage } from "./failure.ts";
import { openDesk } from "./openTrader.ts";
import { askPassword } from "./prompt.ts";
import { type JsonOptions, openNetwork, walletDirectory, type WalletOptions } from "./session.ts";
import { localTime } from "./terminal.ts";
import { wrapped } from "./wrapped.ts";

export type AskOptions = WalletOptions & JsonOptions;

export type AgentOptions = AskOptions & {
  readonly policy?: string;
  readonly notify?: string;
  readonly topUpLimit?: string;
  readonly closeTickets?: boolean;
  readonly logLevel?: string;
  readonly status?: true;
  readonly stop?: true;
};

/** No agent holds the wallet. */
export class NoAgent extends HedgerowError {
  constructor(directory: string) {
    super("NoAgent", `no agent holds the wallet in ${directory}: hedgerow agent starts one`, { directory });
  }
}

/** How long an agent that was told to end may take before it is cut off. Milliseconds. */
const ENDING_MS = 15_000;

/** Runs the agent in the foreground until it is told to end. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const directory = await walletDirectory(options);
  const network = await openNetwork(options);
  const policy = policyOf(options, network);
  const path = socketPathOf(directory);
  if (!fitsSocket(path)) throw new SocketPathTooLong(path);
  const other = await connectAgent(path);
  if (other !== undefined) {
    await other.close();
    throw new AgentAlreadyRuns(path);
  }
  const password = await askPassword(`Password of ${directory}:`, { passwordFile: options.passwordFile });
  const logger = pino({ level: levelOf(options), base: null }, pino.destination({ dest: 2, sync: true }));
  const wallet = await openWallet(directory, password);
  const fundingAddress = addressOf(wallet.fundingKey());
  const { desk, service } = await openDesk(wallet, network, { account: options.account });
  try {
    const notifier =
      options.notify === undefined
        ? undefined
        : programNotifier(options.notify, {
            onTrouble: (event, reason) => logger.warn({ event, reason }, "the notification was not delivered"),
          });
    const agent = await Agent.start({
      service,
      surroundings: await surroundingsOf(desk, { fundingAddress }),
      socketPath: path,
      network: network.name,
      policy,
      topUps: topUpsIn(directory, desk.accountNumber.toString()),
      logger,
      onEvent: (event) => {
        console.log(options.json === true ? JSON.stringify(event) : eventLine(event));
        notifier?.notify(event);
      },
      onRound: statusPrinter(options, network),
    });
    await untilEnded(agent);
    await notifier?.close();
  } finally {
    await service.close();
  }
}

/** `hedgerow agent status`. */
export async function agentStatus(options: AskOptions): Promise<void> {
  const status = await asking(options, (agent) => agent.status());
  const { decimals } = await openNetwork({ ...options, network: status.network });
  console.log(options.json === true ? JSON.stringify(status) : statusText(status, decimals));
}

/** `hedgerow agent stop`: returns once it has let the wallet go. */
export async function agentStop(options: AskOptions): Promise<void> {
  await asking(options, async (agent) => {
    await agent.stop();
    await agent.ended;
  });
  console.log(options.json === true ? JSON.stringify({ stopped: true }) : "The agent has ended.");
}

async function asking<T>(options: AskOptions, work: (agent: AgentClient) => Promise<T>): Promise<T> {
  const directory = await walletDirectory(options);
  const agent = await connectAgent(socketPathOf(directory));
  if (agent === undefined) throw new NoAgent(directory);
  try {
    return await work(agent);
  } finally {
    await agent.close();
  }
}

/** Waits for the agent's end. The first signal asks for it; the second, or a long wait, ends the process. */
async function untilEnded(agent: Agent): Promise<void> {
  let asked = false;
  const end = (): void => {
    if (asked) process.exit(130);
    asked = true;
    setTimeout(() => process.exit(1), ENDING_MS).unref();
    void agent.stop();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    await agent.done;
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function policyOf(options: AgentOptions, { decimals }: Network): Policy {
  const policy = options.policy === undefined ? policySchema.parse({}) : readPolicy(options.policy);
  return {
    ...policy,
    ...(options.topUpLimit !== undefined && { topUpLimit: parseAmount(options.topUpLimit, decimals).toString() }),
    ...(options.closeTickets === false && { closeTickets: false }),
  };
}

const LEVELS = ["debug", "info", "warn", "error", "silent"];

/** On a terminal the events are there to be read, and the log only where something is wrong. */
function levelOf({ logLevel }: AgentOptions): string {
  const level = logLevel ?? (process.stderr.isTTY ? "warn" : "info");
  if (!LEVELS.includes(level)) throw new WrongUsage("--log-level is unknown", `give one of ${LEVELS.join(", ")}`);
  return level;
}

// ------------------------------------------------------------------ what people read

/** Prints where the agent stands whenever a person would want to know. */
function statusPrinter({ json }: AgentOptions, { decimals }: Network): (status: AgentStatus) => void {
  let last = "";
  return (status) => {
    const { epoch, phase, seat, openTickets, margin, duties } = status;
    const key = JSON.stringify([epoch, phase, seat, openTickets, margin?.level, duties.map(({ kind }) => kind)]);
    if (json === true || key === last) return;
    last = key;
    console.log(hanging(`${localTime(status.time)}  `, summaryOf(status, decimals)));
  };
}

function summaryOf({ epoch, phase, seat, openTickets, liveOrders, margin, duties }: AgentStatus, decimals: number) {
  const [next] = duties;
  const parts = [
    `epoch ${epoch} ${phase}`,
    `seat ${SEATS[seat]}`,
    `${openTickets} open ${openTickets === 1 ? "ticket" : "tickets"}, ${liveOrders} live ${liveOrders === 1 ? "order" : "orders"}`,
    margin === null ? "no margin needed" : `margin ${marginWords(margin, decimals)}`,
    next === undefined ? "nothing to do" : `next: ${DUTIES[next.kind]} at ${localTime(next.at)}`,
  ];
  return parts.join("; ");
}

/** What `hedgerow agent status` prints. */
function statusText(status: AgentStatus, decimals: number): string {
  const lines = [
    hanging("Agent        ", `process ${status.pid}, since ${localTime(status.startedAt)}`),
    hanging(
      "Network      ",
      `${status.network}: node ${answers(status.nodeReachable)}, exchange ${answers(status.exchangeReachable)}`,
    ),
    hanging("Now          ", summaryOf(status, decimals)),
    ...status.duties.map(({ kind, at, deadline, reason }) => {
      const until = deadline === null ? "" : `, until ${localTime(deadline)}`;
      return hanging("To do        ", `${DUTIES[kind]} at ${localTime(at)}${until}: ${reason}`);
    }),
    ...(status.trouble === null ? [] : [hanging("Trouble      ", status.trouble)]),
  ];
  return lines.join("\n");
}

function marginWords({ level, free, short, freePercent }: NonNullable<AgentStatus["margin"]>, decimals: number) {
  if (level === "call") return `CALL: ${formatAmount(BigInt(short), decimals)} short`;
  const part = freePercent === null ? "" : ` (${freePercent}% of maintenance)`;
  return `${level}, ${formatAmount(BigInt(free), decimals)} free${part}`;
}

function eventLine({ event, time, message }: AgentEvent): string {
  return hanging(`${localTime(time)}  `, `${event}: ${message}`);
}

/** A line of a screen, 80 columns wide; what is too long goes on below its beginning. */
function hanging(head: string, text: string): string {
  return wrapped(text, 80 - head.length)
    .map((line, i) => (i === 0 ? head : " ".repeat(head.length)) + line)
    .join("\n");
}

function answers(does: boolean): string {
  return does ? "answers" : "DOES NOT ANSWER";
}

const SEATS: Readonly<Record<AgentStatus["seat"], string>> = {
  none: "not open",
  active: "active",
  asleep: "asleep",
  inDefault: "IN DEFAULT",
  closed: "closed",
};

const DUTIES: Readonly<Record<AgentStatus["duties"][number]["kind"], string>> = {
  "cancel-orders": "cancel orders",
  "close-tickets": "close a ticket",
  "claim-tickets": "claim a left-over ticket",
  "fund-credits": "take a deposit in",
  renew: "renew the seat",
  "spend-seen-note": "look after the note",
  "deposit-reserve": "top up",
};
