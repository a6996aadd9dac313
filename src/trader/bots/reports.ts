import type { BookEvent, ExchangeClient } from "../../api/client.ts";

/*
 * What the exchange's client answers, by name.
 */

type Answer<Method extends keyof ExchangeClient> = ExchangeClient[Method] extends (
  ...args: never[]
) => Promise<infer Result>
  ? Result
  : never;

export type OrderAnswer = Answer<"createOrder">;
export type OrderReport = Answer<"fetchOrder">;
export type EpochReport = Answer<"fetchEpoch">;
export type MarketReport = Answer<"fetchMarkets">[number];
export type LevelChange = Extract<BookEvent, { readonly kind: "update" }>["update"]["changes"][number];
