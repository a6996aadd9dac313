import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A way to a server that fails as it is told. */
export type FlakyPort = {
  readonly url: string;
  /** How many connections broke over an answer so far. */
  readonly lost: number;
  /** Breaks all connections; new ones are refused until `comeBack`. */
  goAway(): void;
  comeBack(): void;
  /**
   * Hands on what clients send, but when the server answers, the next `count` connections break instead: the work is
   * done and nobody hears of it. Connections that there are break now.
   */
  loseAnswers(count: number): void;
  stop(): Promise<void>;
};

/** Bytes of a server before any call is made: its settings and what acknowledges the client's. */
const GREETING_BYTES = 200;

/** A relay on loopback in front of the server behind `url`. */
export async function startFlakyPort(url: string): Promise<FlakyPort> {
  const target = Number(new URL(url).port);
  const sockets = new Set<Socket>();
  let away = false;
  let deaf = 0;
  let lost = 0;
  const server = createServer((client) => {
    if (away) {
      client.destroy();
      return;
    }
    const isDeaf = deaf > 0;
    if (isDeaf) deaf -= 1;
    const upstream = connect(target, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    }
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    client.on("close", end);
    upstream.on("close", end);
    client.pipe(upstream);
    let heard = 0;
    upstream.on("data", (chunk: Buffer) => {
      heard += chunk.length;
      if (isDeaf && heard > GREETING_BYTES) {
        lost += 1;
        end();
      } else client.write(chunk);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    get lost() {
      return lost;
    },
    goAway: () => {
      away = true;
      cut();
    },
    comeBack: () => {
      away = false;
    },
    loseAnswers: (count) => {
      deaf = count;
      cut();
    },
    stop: async () => {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
