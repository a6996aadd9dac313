import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A connection that somebody asked the proxy for. */
export type SocksRequest = {
  readonly user: string;
  readonly password: string;
  /** "name", "ipv4" or "ipv6": how the destination was given. */
  readonly kind: "name" | "ipv4" | "ipv6";
  readonly host: string;
  readonly port: number;
  /** Port that the proxy's own connection came from; 0 where there is none. */
  readonly localPort: number;
};

/** A SOCKS5 proxy on loopback, for tests. Every name means this machine. */
export type SocksServer = {
  readonly url: string;
  /** In the order of asking, refused ones included. */
  readonly requests: readonly SocksRequest[];
  /** Answers from now on with this reply instead of a connection: 2 is not allowed, 5 refused; 0: connects again. */
  refuseWith(reply: number): void;
  /** Takes no connections any more, and cuts those there are. */
  stop(): Promise<void>;
  /** Comes back on its port. */
  start(): Promise<void>;
};

const SUCCEEDED = 0;

/** Starts a proxy that wants a user name and a password, any. */
export async function startSocksServer(): Promise<SocksServer> {
  const requests: SocksRequest[] = [];
  const sockets = new Set<Socket>();
  let refusal = SUCCEEDED;

  const serve = async (socket: Socket): Promise<void> => {
    const read = reader(socket);
    const [, methods = 0] = await read(2);
    await read(methods);
    socket.write(Buffer.from([5, 2]));
    const [, userLength = 0] = await read(2);
    const user = (await read(userLength)).toString("utf8");
    const [passwordLength = 0] = await read(1);
    const password = (await read(passwordLength)).toString("utf8");
    socket.write(Buffer.from([1, 0]));

    const [, , , type = 0] = await read(4);
    const kind = type === 1 ? "ipv4" : type === 4 ? "ipv6" : "name";
    const length = kind === "ipv4" ? 4 : kind === "ipv6" ? 16 : ((await read(1))[0] ?? 0);
    const address = await read(length);
    const host = kind === "name" ? address.toString("utf8") : kind === "ipv4" ? address.join(".") : "::1";
    const port = (await read(2)).readUInt16BE();
    const asked = { user, password, kind, host, port } as const;
    const answer = (reply: number): boolean => socket.write(Buffer.from([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]));
    if (refusal !== SUCCEEDED) {
      requests.push({ ...asked, localPort: 0 });
      answer(refusal);
      socket.end();
      return;
    }
    const onward = connect(port, "127.0.0.1");
    keep(onward);
    await once(onward, "connect");
    requests.push({ ...asked, localPort: onward.localPort ?? 0 });
    answer(SUCCEEDED);
    onward.on("close", () => socket.destroy());
    socket.on("close", () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  };

  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };

  const server = createServer((socket) => {
    keep(socket);
    serve(socket).catch(() => socket.destroy());
  });
  const listen = async (port: number): Promise<number> => {
    await once(server.listen(port, "127.0.0.1"), "listening");
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("the proxy has no port");
    return address.port;
  };
  const port = await listen(0);

  return {
    url: `socks5h://127.0.0.1:${port}`,
    requests,
    refuseWith: (reply) => (refusal = reply),
    stop: async () => {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    start: async () => {
      await listen(port);
    },
  };
}

/** Reads exactly so many bytes at a time; what comes after them stays in the stream. */
function reader(socket: Socket): (length: number) => Promise<Buffer> {
  return async (length) => {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const chunk: unknown = socket.read(length);
      if (Buffer.isBuffer(chunk) && chunk.length === length) return chunk;
      if (socket.destroyed || socket.readableEnded) throw new Error("the client is gone");
      await Promise.race([once(socket, "readable"), once(socket, "close")]);
    }
  };
}
