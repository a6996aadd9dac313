import { Code, type HandlerContext } from "@connectrpc/connect";
import { MalformedField } from "../../api/codec.ts";
import {
  answerMessageOf,
  cancelAfterFrom,
  cancelAllFrom,
  cancelFrom,
  newOrderFrom,
  orderFrom,
} from "../../api/codecOrders.ts";
import type {
  CancelAllOrdersAfterResponse,
  CancelAllOrdersResponse,
  Command,
  EnterOrdersRequest,
  EnterOrdersResponse,
  Result,
} from "../../api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import type { OrderAnswer } from "../../api/service.ts";
import type { ExchangeService } from "../../api/service.ts";
import { CALL, type Calls, Closing, type Connection } from "./calls.ts";
import type { Limits, TicketBuckets } from "./limits.ts";
import type { Metrics } from "./metrics.ts";

// The order-entry stream. Commands are checked side by side and run in the order of arrival; results go out in groups,
// one message for all that are ready in a turn. A command is in flight until its result is on its way: when too many
// are, no more is read from the socket.

/** What an order-entry stream works with. */
export type OrderEntryParts = {
  readonly service: ExchangeService;
  readonly limits: Limits;
  readonly calls: Calls;
  readonly tickets: TicketBuckets;
  readonly metrics: Metrics;
};

/** Serves one order-entry stream. */
export async function* enterOrders(
  parts: OrderEntryParts,
  requests: AsyncIterable<EnterOrdersRequest>,
  context: HandlerContext,
): AsyncGenerator<EnterOrdersResponse> {
  const { calls, limits } = parts;
  const { connection } = context.values.get(CALL);
  let results: Result[] = [];
  let inFlight = 0;
  const reader: { done: boolean; failure?: { readonly error: unknown } } = { done: false };
  let wakeWriter: (() => void) | undefined;
  let wakeReader: (() => void) | undefined;
  const wake = (): void => {
    wakeWriter?.();
    wakeReader?.();
  };
  const settle = (result: Result): void => {
    results.push(result);
    // The writer looks after everything that is ready in this turn.
    if (results.length === 1) setImmediate(() => wakeWriter?.());
  };

  async function read(): Promise<void> {
    for await (const { commands } of requests) {
      if (commands.length > limits.commandsPerMessage) {
        throw new MalformedField("commands", `expected at most ${limits.commandsPerMessage} in one message`);
      }
      for (const command of commands) {
        inFlight += 1;
        void execute(parts, command, connection).then(settle);
      }
      while (inFlight >= limits.commandsInFlight && !stopped()) {
        await new Promise<void>((resolve) => (wakeReader = resolve));
      }
      if (stopped()) return;
    }
  }
  const stopped = (): boolean => context.signal.aborted || calls.closing.aborted;

  const reading = read()
    .catch((error: unknown) => {
      reader.failure = { error };
    })
    .finally(() => {
      reader.done = true;
      wakeWriter?.();
    });
  calls.closing.addEventListener("abort", wake);
  context.signal.addEventListener("abort", wake);
  try {
    for (;;) {
      if (results.length > 0) {
        const group = results;
        results = [];
        yield { $typeName: "hedgerow.exchange.v1.EnterOrdersResponse", results: group };
        inFlight -= group.length;
        wakeReader?.();
      } else if (context.signal.aborted || (reader.done && inFlight === 0)) {
        break;
      } else if (calls.closing.aborted && inFlight === 0) {
        throw new Closing();
      } else {
        await new Promise<void>((resolve) => (wakeWriter = resolve));
      }
    }
    if (reader.failure !== undefined) throw reader.failure.error;
  } finally {
    calls.closing.removeEventListener("abort", wake);
    context.signal.removeEventListener("abort", wake);
    wake();
    void reading;
  }
}

/** Runs one command. Never throws: a refusal is a result. */
async function execute(parts: OrderEntryParts, command: Command, connection: Connection): Promise<Result> {
  const { correlation, body } = command;
  const kind = body.case ?? "none";
  try {
    const outcome = await run(parts, body, connection);
    parts.metrics.commands.inc({ kind, status: "Ok" });
    return { $typeName: "hedgerow.exchange.v1.Result", correlation, outcome };
  } catch (error) {
    const { status, error: detail } = parts.calls.outcome(error, `EnterOrders.${kind}`, connection);
    parts.metrics.commands.inc({ kind, status: Code[status] });
    const refusal = { $typeName: "hedgerow.exchange.v1.Refusal", status, error: detail } as const;
    return { $typeName: "hedgerow.exchange.v1.Result", correlation, outcome: { case: "refusal", value: refusal } };
  }
}

async function run(parts: OrderEntryParts, body: Command["body"], connection: Connection): Promise<Result["outcome"]> {
  const { service, calls } = parts;
  calls.takeToken(connection);
  switch (body.case) {
    case undefined:
      throw new MalformedField("command", "it is missing");
    case "create": {
      const entry = newOrderFrom(body.value);
      const answer = await limited(parts.tickets, entry.order.ticketId, () => service.placeOrder(entry));
      return { case: "answer", value: answerMessageOf(answer) };
    }
    case "edit": {
      const order = orderFrom(body.value);
      const answer = await limited(parts.tickets, order.order.ticketId, () => service.replaceOrder(order));
      return { case: "answer", value: answerMessageOf(answer) };
    }
    case "cancel": {
      const cancel = cancelFrom(body.value);
      const answer = await limited(parts.tickets, cancel.cancel.ticketId, () => service.cancelOrder(cancel));
      return { case: "answer", value: answerMessageOf(answer) };
    }
    case "cancelAll": {
      const cancelAll = cancelAllFrom(body.value);
      const answers = await limited(parts.tickets, cancelAll.cancelAll.ticketId, () => service.cancelAll(cancelAll));
      return { case: "cancelled", value: cancelledMessageOf(answers) };
    }
    case "cancelAfter": {
      const cancelAfter = cancelAfterFrom(body.value);
      const guard = await limited(parts.tickets, cancelAfter.cancelAfter.ticketId, () =>
        service.cancelAfter(cancelAfter),
      );
      return { case: "guard", value: guardMessageOf(guard.deadline) };
    }
  }
}

/** Runs a command of a ticket within the ticket's own limit. Throws TooManyCommands. */
export async function limited<T>(
  tickets: TicketBuckets,
  ticketId: `0x${string}`,
  command: () => Promise<T>,
): Promise<T> {
  tickets.check(ticketId, performance.now());
  const answer = await command();
  tickets.charge(ticketId, performance.now());
  return answer;
}

/** The message of the answers to a cancel of everything. */
export function cancelledMessageOf(answers: readonly OrderAnswer[]): CancelAllOrdersResponse {
  return { $typeName: "hedgerow.exchange.v1.CancelAllOrdersResponse", answers: answers.map(answerMessageOf) };
}

/** The message of a heartbeat's deadline. */
export function guardMessageOf(deadline: bigint | undefined): CancelAllOrdersAfterResponse {
  return {
    $typeName: "hedgerow.exchange.v1.CancelAllOrdersAfterResponse",
    ...(deadline === undefined ? {} : { deadline }),
  };
}
