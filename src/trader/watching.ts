import type { Chain } from "../chain/clearingHouse.ts";
import { type AccountState, advance } from "./accountState.ts";
import {
  checkedParams,
  type CommandName,
  type CommandParams,
  type CommandResult,
  type TraderService,
} from "./commands.ts";
import type { Network } from "./home.ts";
import { openReader } from "./reports/audit.ts";
import { balanceOf, ticketsOf } from "./reports/balance.ts";
import type { AccountReader } from "./reports/reader.ts";
import { type ViewingWallet, WalletOnlyWatches } from "./store.ts";

/** What a wallet that only watches is opened with. */
export type WatchingParts = { readonly wallet: ViewingWallet; readonly network: Network; readonly chain: Chain };

type Seeing = { readonly [N in CommandName]?: (params: CommandParams<N>) => Promise<CommandResult<N>> };

/**
 * The commands of a wallet that only watches (spec ACC-20): balance, tickets, history and statement, the same as its
 * owner's but for credits. All others throw WalletOnlyWatches, and bad params BadParams. Throws ViewingKeyElsewhere, ChainUnavailable,
 * NoteNotRecognised.
 */
export async function watchingService({ wallet, network, chain }: WatchingParts): Promise<TraderService> {
  const opened = await openReader(chain, wallet.viewingKey, BigInt(network.fromBlock));
  let state: AccountState = opened.state;
  const read = async (): Promise<AccountReader> => {
    await opened.chain.sync();
    await opened.chain.readBlockTimes();
    state = advance(opened.keys, opened.chain, state);
    return { ...opened, state };
  };
  const seeing: Seeing = {
    balance: async () => balanceOf(await read(), network),
    tickets: async () => [...ticketsOf(await read())],
    history: async (range) => [...(await import("./reports/history.ts")).historyOf(await read(), range)],
    statement: async (range) => (await import("./reports/statement.ts")).statementOf(await read(), network, range),
  };
  return {
    run: async <N extends CommandName>(name: N, params: CommandParams<N>): Promise<CommandResult<N>> => {
      const see: Seeing[N] = seeing[name];
      if (see === undefined) throw new WalletOnlyWatches(wallet.directory);
      checkedParams(name, params);
      return see(params);
    },
    close: () => {
      wallet.close();
      return Promise.resolve();
    },
  };
}
