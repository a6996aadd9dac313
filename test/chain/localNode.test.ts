import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { createPublicClient, http } from "viem";
import { LocalNodeError, startLocalNode } from "../../src/chain/localNode.ts";

const module = JSON.stringify(import.meta.resolve("../../src/chain/localNode.ts"));

async function answers(url: string): Promise<boolean> {
  return createPublicClient({ transport: http(url, { retryCount: 0 }) })
    .getChainId()
    .then(
      () => true,
      () => false,
    );
}

async function isGone(url: string): Promise<boolean> {
  for (let waited = 0; waited < 5_000; waited += 50) {
    if (!(await answers(url))) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/** Runs a program that starts a node, prints its address and then runs `rest`. */
async function nodeOfAnotherProcess(rest: string): Promise<{ child: ReturnType<typeof spawn>; url: string }> {
  const program = `import { startLocalNode } from ${module}; const node = await startLocalNode(); console.log(node.url); ${rest}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { child, url: line.toString("utf8").trim() };
}

test("two local nodes run side by side under mainnet's limits and stop when told [DEV-1]", async () => {
  const nodes = await Promise.all([startLocalNode(), startLocalNode()]);
  try {
    const [first, second] = nodes;
    assert.notEqual(first.url, second.url);
    const client = createPublicClient({ transport: http(first.url) });
    assert.equal(await client.getChainId(), 31337);
    assert.equal((await client.getBlock()).gasLimit, 60_000_000n);
    await first.stop();
    await first.stop();
    assert.equal(await answers(first.url), false);
    assert.equal(await answers(second.url), true);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
  }
});

test("a local node ends with the process that started it, even a killed one [DEV-1]", async () => {
  const { child, url } = await nodeOfAnotherProcess("setInterval(() => undefined, 1000);");
  assert.equal(await answers(url), true);
  child.kill("SIGKILL");
  assert.equal(await isGone(url), true);
});

test("a process that forgets to stop its local node still ends, and the node with it [DEV-1]", async () => {
  const { child, url } = await nodeOfAnotherProcess("");
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 0);
  assert.equal(await isGone(url), true);
});

test("a local node that cannot start says why [DEV-1]", async () => {
  const occupier = createServer().listen(0, "127.0.0.1");
  await once(occupier, "listening");
  const address = occupier.address();
  assert.ok(address !== null && typeof address === "object");
  await assert.rejects(startLocalNode({ port: address.port }), (error) => {
    assert.ok(error instanceof LocalNodeError);
    assert.equal(error.code, "LOCAL_NODE");
    assert.match(error.message, /EADDRINUSE|already in use/);
    return true;
  });
  occupier.close();
});
