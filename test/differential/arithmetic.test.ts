import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { numberToHex } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { signedOrderMessage } from "../../src/chain/clearingHouse.ts";
import { equityInBand } from "../../src/protocol/epoch.ts";
import { toField } from "../../src/protocol/field.ts";
import { zeroNote } from "../../src/protocol/note.ts";
import { domainOf, type Order, orderHash, type Release, signOrder, signRelease } from "../../src/protocol/order.ts";
import { dailySettlementPrice, floorDiv, type PricedFill, roundToTick } from "../../src/protocol/settlementPrice.ts";
import { reduces } from "../../src/protocol/ticket.ts";
import { refusal, startTestChain } from "../support/contracts.ts";
import { element, position } from "../support/random.ts";
import { epochMarket } from "../support/epochMarket.ts";

// TypeScript against the contracts' libraries on random input, the extremes often.

const { client, deploy } = await startTestChain();
const harness = await deploy("ArithmeticHarness");
const trees = await deploy("NoteTreeHarness");
const domain = domainOf(BigInt(await client.getChainId()), harness.address);

const runs = (numRuns: number) => ({ numRuns, seed: 20_200_420 });

const within = (bits: bigint): fc.Arbitrary<bigint> => {
  const max = (1n << bits) - 1n;
  return fc.oneof(
    fc.constantFrom(0n, 1n, -1n, max, -max),
    fc.bigInt({ min: -max, max }),
    fc.bigInt({ min: -20n, max: 20n }),
  );
};
const uint = (bits: bigint): fc.Arbitrary<bigint> => within(bits).map((x) => (x < 0n ? -x : x));

test("division toward minus infinity agrees for all signs [NUM-9]", async () => {
  await fc.assert(
    fc.asyncProperty(
      within(160n),
      within(120n).filter((b) => b !== 0n),
      async (a, b) => {
        assert.equal(await harness.read("floorDiv", [a, b]), floorDiv(a, b));
      },
    ),
    runs(150),
  );
});

/** A sum of prices whose average is often exactly half-way between two ticks. */
const average = fc
  .record({
    volume: fc.bigInt({ min: 1n, max: 2n ** 40n }),
    tick: uint(60n).map((t) => t + 1n),
    ticks: within(40n),
    rest: within(80n),
    half: fc.boolean(),
    previous: within(60n),
  })
  .map(({ volume, tick, ticks, rest, half, previous }) => {
    const exact = ticks * tick * volume;
    return { value: half ? exact + (volume * tick) / 2n : exact + rest, volume, tick, previous: previous * tick };
  });

test("rounding to a tick agrees, ties and negative prices too [SET-6, NUM-8]", async () => {
  await fc.assert(
    fc.asyncProperty(average, async ({ value, volume, tick, previous }) => {
      const expected = roundToTick(value, volume, tick, previous);
      assert.equal(await harness.read("roundToTick", [value, volume, tick, previous]), expected);
    }),
    runs(200),
  );
});

test("equity in a band agrees [TKT-4, NUM-6]", async () => {
  await fc.assert(
    fc.asyncProperty(within(120n), position, within(80n), uint(80n), async (cash, contracts, centre, halfWidth) => {
      const expected = equityInBand(cash, contracts, centre, halfWidth);
      assert.equal(await harness.read("equity", [cash, contracts, centre, halfWidth]), expected);
    }),
    runs(150),
  );
});

test("what reduces agrees [TKT-5]", async () => {
  const small = fc.bigInt({ min: -4n, max: 4n });
  await fc.assert(
    fc.asyncProperty(fc.oneof(small, position), fc.oneof(small, position), async (before, now) => {
      assert.equal(await harness.read("reduces", [before, now]), reduces(before, now));
    }),
    runs(120),
  );
});

test("signed numbers become the same field elements [NUM-2]", async () => {
  await fc.assert(
    fc.asyncProperty(within(130n), async (x) => {
      assert.equal(await harness.read("toField", [x]), toField(x));
    }),
    runs(60),
  );
});

test("an empty account has the same note [ACC-5]", async () => {
  await fc.assert(
    fc.asyncProperty(element, async (ownerKey) => {
      assert.equal(await trees.read("zeroNote", [ownerKey]), zeroNote(ownerKey));
    }),
    runs(40),
  );
});

// ------------------------------------------------------------------ the price of the day

const tick = 25n;
const ticksOf = (max: bigint): fc.Arbitrary<bigint> => fc.bigInt({ min: -max, max }).map((n) => n * tick);

const day = fc.record({
  minimumVolume: fc.integer({ min: 1, max: 30 }),
  minimumMinutes: fc.integer({ min: 1, max: 5 }),
  centre: ticksOf(40n),
  windowStart: fc.bigInt({ min: 1_000n, max: 2_000n }),
  fills: fc.array(
    fc.record({
      execTime: fc.bigInt({ min: 600n, max: 2_400n }),
      price: ticksOf(50n),
      quantity: fc.bigInt({ min: 1n, max: 12n }),
    }),
    { maxLength: 14 },
  ),
});

test("the settlement price and its tier agree over random days [SET-1, SET-2, SET-3, SET-7]", async () => {
  const tiers = new Set<number>();
  await fc.assert(
    fc.asyncProperty(day, async ({ fills, windowStart, ...rest }) => {
      const market = epochMarket({
        contractId: numberToHex(1, { size: 32 }),
        listed: true,
        tick,
        // Wide enough that no price is cut off.
        priceLimit: 100_000n,
        maintenanceMargin: 300_000n,
        initialMargin: 300_000n,
        closeOutFee: 100_000n,
        fillFee: 0n,
        settlementPrice: 0n,
        expired: false,
        closingOnly: false,
        lastTradingTime: 0n,
        ...rest,
      });
      const ordered: readonly PricedFill[] = fills.toSorted((a, b) => Number(a.execTime - b.execTime));
      const { tier, price } = dailySettlementPrice(market, ordered, windowStart);
      tiers.add(tier);
      const frozen = { ...market, auctionPrice: 0n, auctioned: false };
      assert.deepEqual(await harness.read("tierPrice", [frozen, ordered, windowStart]), [tier, price]);
    }),
    runs(200),
  );
  assert.deepEqual([...tiers].sort(), [1, 2, 3]);
});

// ------------------------------------------------------------------ signed messages

const bytes32 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }).map((x) => numberToHex(x, { size: 32 }));

const order: fc.Arbitrary<Order> = fc.record({
  ticketId: bytes32,
  clientId: uint(64n),
  revision: fc.integer({ min: 0, max: 255 }),
  side: fc.constantFrom("buy", "sell"),
  limitPrice: within(87n),
  quantity: fc.oneof(fc.constantFrom(0, 2 ** 32 - 1), fc.integer({ min: 1, max: 2 ** 31 - 1 })),
  timeInForce: fc.constantFrom("GTC", "IOC", "FOK"),
  postOnly: fc.boolean(),
  expiry: uint(64n),
});

test("an order has the same EIP-712 hash, and its signature is good on chain [ORD-1, ORD-2, ORD-12]", async () => {
  await fc.assert(
    fc.asyncProperty(order, async (message) => {
      const key = generatePrivateKey();
      const signed = signedOrderMessage({ order: message, signature: await signOrder(domain, message, key) });
      assert.equal(await harness.read("orderDigest", [signed]), orderHash(domain, message));
      await harness.read("requireOrder", [privateKeyToAddress(key), signed]);
    }),
    runs(60),
  );
});

const release: fc.Arbitrary<Release> = fc.record({
  id: bytes32,
  nullifier: element,
  newNote: element,
  cash: within(120n),
  position,
});

test("a release is good on chain, and for no other note, amount, ticket or clearing house [TKT-7, CRE-2]", async () => {
  await fc.assert(
    fc.asyncProperty(release, async (message) => {
      const key = generatePrivateKey();
      const signer = privateKeyToAddress(key);
      const check = async (shown: Release, signature: string): Promise<unknown> => {
        const { nullifier, newNote, id, cash, position: contracts } = shown;
        const transition = { action: 0, root: 0n, nullifier, newNote, seat: 0n, fields: "0x", signature };
        return harness.read("requireRelease", [signer, transition, id, cash, contracts]);
      };
      const signature = await signRelease(domain, message, key);
      await check(message, signature);
      const others: readonly Release[] = [
        { ...message, nullifier: message.nullifier ^ 1n },
        { ...message, newNote: message.newNote ^ 1n },
        { ...message, cash: message.cash - 1n },
        { ...message, position: message.position + 1n },
        { ...message, id: numberToHex(BigInt(message.id) ^ 1n, { size: 32 }) },
      ];
      for (const other of others) assert.equal((await refusal(check(other, signature))).name, "WrongSigner");
      const elsewhere = await signRelease(domainOf(1n, harness.address), message, key);
      assert.equal((await refusal(check(message, elsewhere))).name, "WrongSigner");
    }),
    runs(20),
  );
});
