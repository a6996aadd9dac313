import type { OrderView } from "./views.ts";

/** Whether an order may still fill. Not in views.ts, which takes long to load: commands ask it before their first question. */
export function isLive({ status }: Pick<OrderView, "status">): boolean {
  return status === "unsent" || status === "waiting" || status === "open";
}
