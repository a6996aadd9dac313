export { type LocalNode, startLocalNode as startNode } from "../../src/chain/localNode.ts";
