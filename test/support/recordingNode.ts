import { once } from "node:events";
import { createServer } from "node:http";
import { z } from "zod";

const requestSchema = z.looseObject({ method: z.string(), params: z.array(z.unknown()).default([]) });

/** What a node was asked. */
export type Asked = { readonly method: string; readonly params: readonly unknown[] };

/** A JSON-RPC endpoint in front of a node that writes down what it is asked. */
export type RecordingNode = { readonly url: string; readonly asked: readonly Asked[]; stop(): void };

/** Starts an endpoint in front of the node behind `upstream`. */
export async function startRecordingNode(upstream: string): Promise<RecordingNode> {
  const asked: Asked[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const { method, params } = requestSchema.parse(JSON.parse(body));
      asked.push({ method, params });
      fetch(upstream, { method: "POST", headers: { "content-type": "application/json" }, body })
        .then(async (answer) => {
          response.writeHead(200, { "content-type": "application/json" }).end(await answer.text());
        })
        .catch(() => incoming.socket.destroy());
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the endpoint has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
