/** The part of WebAssembly that the project uses: Node's own types leave it to the browser's library. */
declare namespace WebAssembly {
  class Module {
    private readonly compiled: unknown;
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, (...values: number[]) => void>>);
    readonly exports: Readonly<Record<string, unknown>>;
  }
  function compile(code: Uint8Array): Promise<Module>;
}
