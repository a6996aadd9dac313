import assert from "node:assert/strict";
import { test } from "node:test";
import {
  abiWithLibraryErrors,
  ArtifactNotFound,
  librariesOf,
  LibraryNotLinked,
  linkBytecode,
  loadArtifact,
} from "../../src/chain/artifacts.ts";

const ADDRESS = "0x00000000000000000000000000000000DeaDBeef";
const CODE_SIZE_LIMIT = 24_576;

test("a contract that is not compiled is named in the error [DEV-1]", () => {
  assert.throws(() => loadArtifact("NoSuchContract"), ArtifactNotFound);
});

test("libraries come before those that call them, each once [DEV-1]", () => {
  const names = librariesOf(loadArtifact("ClearingHouse")).map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const [i, name] of names.entries()) {
    for (const { library } of loadArtifact(name).linkReferences)
      assert.ok(names.indexOf(library) < i, `${library}, ${name}`);
  }
  assert.ok(names.includes("BatchVerifier") && names.includes("NoteTree"));
});

test("linked code has every address in its place and is otherwise unchanged [DEV-1]", () => {
  const artifact = loadArtifact("NoteTreeHarness");
  const libraries = Object.fromEntries(artifact.linkReferences.map(({ library }) => [library, ADDRESS] as const));
  const linked = linkBytecode(artifact, libraries);
  assert.match(linked, /^0x[0-9a-f]+$/);
  assert.equal(linked.length, artifact.bytecode.length);
  for (const { start } of artifact.linkReferences) {
    assert.equal(linked.slice(2 + 2 * start, 2 + 2 * (start + 20)), ADDRESS.slice(2).toLowerCase());
  }
});

test("code is not linked while a library's address is missing [DEV-1]", () => {
  assert.throws(() => linkBytecode(loadArtifact("NoteTreeHarness"), {}), LibraryNotLinked);
});

test("the ABI of a contract decodes the errors of its libraries too [DEV-1]", () => {
  const errors = abiWithLibraryErrors(loadArtifact("ClearingHouse")).filter((item) => item.type === "error");
  const names = errors.map(({ name }) => name);
  for (const name of ["InvalidProof", "SignalNotCanonical", "TreeFull"]) assert.ok(names.includes(name), name);
});

test("the clearing house and its libraries fit into mainnet's contract size [DEV-1]", () => {
  const house = loadArtifact("ClearingHouse");
  for (const { name, size } of [house, ...librariesOf(house)]) {
    assert.ok(size <= CODE_SIZE_LIMIT, `${name} has ${size} bytes`);
  }
});
