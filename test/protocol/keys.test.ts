import assert from "node:assert/strict";
import { test } from "node:test";
import { privateKeyToAccount } from "viem/accounts";
import { FIELD_MODULUS, NonCanonicalSecret, OutOfRange } from "../../src/protocol/field.ts";
import { hash2 } from "../../src/protocol/hash.ts";
import {
  accountKeys,
  addressOf,
  creditPrivateKey,
  keysOfSpendingKey,
  MalformedSeedPhrase,
  newSeedPhrase,
  parseSeedPhrase,
  sessionPrivateKey,
} from "../../src/protocol/keys.ts";

const PHRASE = "test test test test test test test test test test test junk";

function refusal(phrase: string): MalformedSeedPhrase {
  try {
    accountKeys(phrase, 0);
  } catch (error) {
    assert.ok(error instanceof MalformedSeedPhrase);
    return error;
  }
  return assert.fail("the phrase was accepted");
}

test("a word outside the list is named by its place and not repeated [ACC-1]", () => {
  const error = refusal(PHRASE.replace(/^test test test/, "test test secretword"));
  assert.equal(error.details["wordNumber"], 3);
  assert.match(error.message, /number 3/);
  assert.doesNotMatch(`${error.message} ${JSON.stringify(error.details)}`, /secretword|junk/);
});

test("a wrong checksum, too few words, too many words and no word are refused without repeating any [ACC-1]", () => {
  for (const phrase of [PHRASE.replace("junk", "test"), "test junk", `${PHRASE} test`, "", "   "]) {
    assert.doesNotMatch(refusal(phrase).message, /test|junk/);
  }
});

test("spaces and capital letters do not matter [ACC-1]", () => {
  assert.equal(parseSeedPhrase(`  ${PHRASE.toUpperCase().replaceAll(" ", " \n ")} `), PHRASE);
  assert.deepEqual(accountKeys(` ${PHRASE.toUpperCase()}`, 0), accountKeys(PHRASE, 0));
});

test("a new phrase has 12 words, is valid and differs each time [ACC-1]", () => {
  const [first, second] = [newSeedPhrase(), newSeedPhrase()];
  assert.notEqual(first, second);
  assert.equal(parseSeedPhrase(first).split(" ").length, 12);
});

test("the keys of a phrase never change, since wallets are rebuilt from it [ACC-2]", () => {
  const keys = accountKeys(PHRASE, 0);
  assert.equal(keys.spendingKey, 3734181698796754839622220043779658972801804826541919926202569143704864753648n);
  assert.equal(keys.ownerKey, hash2(1n, keys.spendingKey));
  assert.equal(keys.viewingKey, hash2(2n, keys.spendingKey));
  assert.equal(addressOf(sessionPrivateKey(keys.spendingKey, 1, 0)), "0xb8fec9db79282c76999173b649d49324e9219357");
});

test("accounts of one phrase have nothing in common, and account -1 is refused [ACC-2]", () => {
  const all = [0, 1, 2n].flatMap((account) => {
    const { spendingKey, ownerKey, viewingKey } = accountKeys(PHRASE, account);
    return [spendingKey, ownerKey, viewingKey];
  });
  assert.equal(new Set(all).size, 9);
  assert.throws(() => accountKeys(PHRASE, -1), OutOfRange);
});

test("session and credit keys differ by every index, and their addresses are Ethereum's [ACC-11]", () => {
  const { spendingKey } = accountKeys(PHRASE, 0);
  const keys = [
    sessionPrivateKey(spendingKey, 1, 0),
    sessionPrivateKey(spendingKey, 0, 1),
    sessionPrivateKey(spendingKey, 1, 1),
    creditPrivateKey(spendingKey, 0),
    creditPrivateKey(spendingKey, 1),
  ];
  assert.equal(new Set(keys).size, keys.length);
  for (const key of keys) assert.equal(addressOf(key), privateKeyToAccount(key).address.toLowerCase());
  assert.throws(() => sessionPrivateKey(spendingKey, -1, 0), OutOfRange);
  assert.throws(() => creditPrivateKey(spendingKey, 2n ** 64n), OutOfRange);
});

test("an error about a secret names it and never shows it [PRI-11]", () => {
  const secret = FIELD_MODULUS + 123_456_789n;
  for (const use of [
    () => keysOfSpendingKey(secret),
    () => sessionPrivateKey(secret, 1, 0),
    () => creditPrivateKey(secret, 1),
  ]) {
    assert.throws(use, (error) => {
      assert.ok(error instanceof NonCanonicalSecret);
      assert.ok(!`${error.message}${JSON.stringify(error.details)}`.includes(secret.toString()));
      return true;
    });
  }
});
