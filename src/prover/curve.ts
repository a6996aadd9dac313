import { type Curve, getCurveFromName } from "ffjavascript";

/*
 * ffjavascript keeps one BN254 instance with its worker threads per process, and the threads keep the process alive.
 * So the instance is counted: the first user starts it, the last one ends it, and nobody else may terminate it.
 */
let users = 0;
let instance: Promise<Curve> | undefined;
let ending: Promise<void> = Promise.resolve();

/** The process's BN254 instance. Each acquire needs exactly one releaseCurve. */
export async function acquireCurve(): Promise<Curve> {
  users++;
  await ending;
  // The promise is kept, not the curve: two first users at once would start two sets of threads and end only one.
  instance ??= getCurveFromName("bn128");
  return instance;
}

/** Gives the instance back; the last user ends its threads. */
export async function releaseCurve(curve: Curve): Promise<void> {
  users--;
  if (users === 0) {
    instance = undefined;
    ending = curve.terminate();
  }
  await ending;
}
