import { homeDirectory, readNetwork, readSettings } from "../trader/home.ts";
import type { DoctorOptions } from "./doctor.ts";
import { examineInstallation, examineWallets } from "./doctorInstallation.ts";
import { type Finding, missing, skipped } from "./finding.ts";

const MARKS = { ok: "ok     ", warn: "WARNING", missing: "MISSING", skipped: "skipped" } as const;

/** Looks at everything, prints what it found, and sets the exit code: 1 if something is missing. */
export async function runDoctor(options: DoctorOptions): Promise<void> {
  const home = homeDirectory(options.home);
  const findings = [
    ...(await examineInstallation(home)),
    ...guarded("wallets", () => examineWallets(home)),
    ...(await examineChosen(home, options)),
  ];
  const ok = findings.every((finding) => finding.ok);
  if (options.json === true) {
    console.log(JSON.stringify({ ok, findings }));
  } else {
    for (const { status, what, found, remedy } of findings) {
      console.log(`${MARKS[status]} ${what}: ${found}${remedy === "" ? "" : ` -> ${remedy}`}`);
    }
  }
  process.exitCode = ok ? 0 : 1;
}

async function examineChosen(home: string, options: DoctorOptions): Promise<readonly Finding[]> {
  try {
    const name = options.network ?? readSettings(home).network;
    if (name === undefined) {
      const remedy = "hedgerow local starts one on this machine, hedgerow network add remembers another";
      return [skipped("network", "none is chosen, so no node, contract and exchange are looked at", remedy)];
    }
    const network = readNetwork(home, name);
    const { examineNetwork } = await import("./doctorNetwork.ts");
    return await examineNetwork(options.proxy === undefined ? network : { ...network, proxy: options.proxy });
  } catch (error) {
    return [missing("network", wordsOf(error), "hedgerow network list names those there are")];
  }
}

/** A file that cannot be read is a finding like any other. */
function guarded(what: string, look: () => readonly Finding[]): readonly Finding[] {
  try {
    return look();
  } catch (error) {
    return [missing(what, wordsOf(error), "check who owns the home directory")];
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
