import { after, before, test } from "node:test";
import fc from "fast-check";
import { WalletWorld, walletStep } from "../support/walletWorld.ts";

// More of the same for as long as one likes: npm run fuzz -- --what wallets

let world: WalletWorld;
before(async () => {
  world = await WalletWorld.start();
});
after(() => world.stop());

test("after any history with crashes a wallet from the phrase shows what the live one shows [ACC-12, DSK-15]", () =>
  fc.assert(
    fc.asyncProperty(fc.array(walletStep, { minLength: 6, maxLength: 12 }), (steps) => world.live(steps)),
    { numRuns: 3, endOnFailure: true },
  ));
