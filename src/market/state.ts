import { type Book, createBook, rest, waitForStop } from "./book.ts";
import { showOnly } from "./ladder.ts";
import { addOrder } from "./orderTable.ts";
import type { BookTerms } from "./terms.ts";
import type { NewOrder, Session } from "./types.ts";
import { type OpenOrder, openOrders, waitingOrders } from "./views.ts";

/** All that a book knows but its terms, as JSON has it (MAT-22). Orders stand as `openOrders` gives them. */
export interface BookState {
  readonly lastSeq: number;
  readonly session: Session;
  readonly lastTradeTicks: number | null;
  readonly resting: readonly OpenOrder[];
  readonly waiting: readonly OpenOrder[];
}

/** The state of a book, to be kept. */
export function bookState(book: Book): BookState {
  return {
    lastSeq: book.lastSeq,
    session: book.session,
    lastTradeTicks: book.lastTradeTicks ?? null,
    resting: [...openOrders(book)],
    waiting: [...waitingOrders(book)],
  };
}

/** The book whose state was kept. The state must be one that `bookState` gave: it is not checked. */
export function restoreBook(terms: BookTerms, state: BookState): Book {
  const book = createBook(terms, state.session);
  book.lastSeq = state.lastSeq;
  book.lastTradeTicks = state.lastTradeTicks ?? undefined;
  for (const order of state.resting) {
    const row = restoreOrder(book, order);
    rest(book, row);
    showOnly(book.orders, row, order.displayed);
  }
  for (const order of state.waiting) waitForStop(book, restoreOrder(book, order));
  return book;
}

function restoreOrder({ orders }: Book, order: OpenOrder): number {
  const { displayQuantity, stopPriceTicks } = order;
  const entered: NewOrder = {
    kind: "new",
    orderId: order.orderId,
    owner: order.owner,
    side: order.side,
    priceTicks: order.priceTicks,
    quantity: order.total,
    timeInForce: order.timeInForce,
    postOnly: order.postOnly,
    selfTrade: order.selfTrade,
    ...(displayQuantity === null ? {} : { displayQuantity }),
    ...(stopPriceTicks === null ? {} : { stopPriceTicks }),
  };
  const row = addOrder(orders, entered, order.prioritySeq);
  orders.filled[row] = order.filled;
  orders.remaining[row] = order.remaining;
  orders.revision[row] = order.revision;
  return row;
}
