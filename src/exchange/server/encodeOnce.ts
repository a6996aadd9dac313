import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";

/** A message for all who listen: one object for JSON, and one with its encoding inside for the binary formats. */
export type SharedMessage<M> = { readonly json: M; readonly binary: M; readonly bytes: number };

/**
 * Makes a group into a message whose encoding is computed once, however many read it. `schema` describes a message,
 * `field` is the number (below 16) of the one repeated field that the group fills. A message carries its encoding as a
 * field that its object does not know: on the wire both are the same.
 */
export function encodeOnce<G extends object, Desc extends DescMessage>(
  schema: Desc,
  field: number,
  build: (group: G) => MessageShape<Desc>,
  empty: () => MessageShape<Desc>,
): (group: G) => SharedMessage<MessageShape<Desc>> {
  const made = new WeakMap<G, SharedMessage<MessageShape<Desc>>>();
  return (group) => {
    const known = made.get(group);
    if (known !== undefined) return known;
    const json = build(group);
    const encoded = toBinary(schema, json);
    // The first byte is the field's tag, which is written anew.
    const rest = { no: field, wireType: WireType.LengthDelimited, data: encoded.subarray(1) };
    const shared = { json, binary: { ...empty(), $unknown: [rest] }, bytes: encoded.length };
    made.set(group, shared);
    return shared;
  };
}
