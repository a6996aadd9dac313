import { writePrivateFile } from "../trader/files.ts";
import type { Network } from "../trader/home.ts";
import { statementCsv } from "../trader/reports/statementCsv.ts";
import { statementHtml } from "../trader/reports/statementHtml.ts";
import type { StatementView } from "../trader/views.ts";
import { WrongUsage } from "./failure.ts";
import { balanceText, historyText, statementText } from "./reportsText.ts";
import {
  type Io,
  type JsonOptions,
  type NetworkOptions,
  openNetwork,
  type WalletOptions,
  withService,
} from "./session.ts";

type Period = { readonly from?: string; readonly to?: string };
type Files = { readonly csv?: string; readonly html?: string };
export type ReportOptions = WalletOptions & JsonOptions;
export type PeriodOptions = ReportOptions & Period;
export type StatementOptions = PeriodOptions & Files;
export type AuditOptions = NetworkOptions & JsonOptions & Period & Files & { readonly viewingKey: string };

/** hedgerow balance */
export async function balance(options: ReportOptions, io: Io): Promise<void> {
  const decimals = await io.decimals(options);
  await withService(
    options,
    async (service, run) => {
      const view = await service.run("balance", {}, run);
      io.print(options.json ? JSON.stringify(view) : balanceText(view, decimals));
    },
    io,
  );
}

/** hedgerow history */
export async function history(options: PeriodOptions, io: Io): Promise<void> {
  const decimals = await io.decimals(options);
  const period = parsePeriod(options);
  await withService(
    options,
    async (service, run) => {
      const entries = await service.run("history", period, run);
      io.print(options.json ? JSON.stringify(entries) : historyText(entries, decimals));
    },
    io,
  );
}

/** hedgerow statement */
export async function statement(options: StatementOptions, io: Io): Promise<void> {
  const decimals = await io.decimals(options);
  const period = parsePeriod(options);
  await withService(
    options,
    async (service, run) => {
      tell(await service.run("statement", period, run), decimals, options, io);
    },
    io,
  );
}

/** hedgerow audit */
export async function audit(options: AuditOptions, io: Io): Promise<void> {
  const { fromEpoch, toEpoch } = parsePeriod(options);
  const [{ connect }, { openReader }, { statementOf }, { importViewingKey }] = await Promise.all([
    import("../chain/clearingHouse.ts"),
    import("../trader/reports/audit.ts"),
    import("../trader/reports/statement.ts"),
    import("../trader/viewingKey.ts"),
  ]);
  const key = importViewingKey(options.viewingKey);
  const network = await openNetwork(options);
  const proxy = network.proxy === undefined ? undefined : (await import("../trader/proxy.ts")).proxyAt(network.proxy);
  try {
    const chain = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    const reader = await openReader(chain, key, firstBlock(network));
    tell(statementOf(reader, network, { fromEpoch, toEpoch }), network.decimals, options, io);
  } finally {
    proxy?.close();
  }
}

function firstBlock({ fromBlock }: Network): bigint {
  return BigInt(fromBlock);
}

/** Prints a statement and writes the files that are asked for. */
function tell(view: StatementView, decimals: number, { csv, html, json }: Files & JsonOptions, io: Io): void {
  if (csv !== undefined) writePrivateFile(csv, statementCsv(view, decimals));
  if (html !== undefined) writePrivateFile(html, statementHtml(view, decimals));
  const written = [csv, html].flatMap((file) => (file === undefined ? [] : [`written: ${file}`]));
  io.print(json ? JSON.stringify(view) : [statementText(view, decimals), ...written].join("\n"));
}

function parsePeriod({ from, to }: Period): { readonly fromEpoch?: number; readonly toEpoch?: number } {
  return {
    ...(from !== undefined && { fromEpoch: parseEpoch("--from", from) }),
    ...(to !== undefined && { toEpoch: parseEpoch("--to", to) }),
  };
}

function parseEpoch(option: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new WrongUsage(`${option} is no number of a day`, "give 1, 2, 3 ...; hedgerow balance shows today's");
  }
  return Number(text);
}
