/*
 * The first steps of somebody who is new here, as the help and a local network print them. They work as typed.
 */

/** The market of the first steps: the first one that a local network lists, in which the example bots quote. */
export const FIRST_MARKET = "LEAN-HOGS-FEB";

/** From a local network to a filled order: what is typed, and what it does. */
export const FIRST_STEPS: readonly (readonly [string, string])[] = [
  ["hedgerow local --with-bots", "a whole exchange on this machine"],
  ["hedgerow wallet new", "a wallet: its seed phrase, a password"],
  ["hedgerow deposit 100000 --faucet", "test dollars into your account"],
  [`hedgerow buy 1 ${FIRST_MARKET} --market`, "one contract at the best price"],
  ["hedgerow balance", "what you own now"],
];
