import type { Command, Option } from "commander";

export type Shell = "bash" | "zsh" | "fish";

/** A command by its words, with what can follow it. */
type Node = {
  /** As "ticket open"; empty for the program itself. */
  readonly path: string;
  readonly description: string;
  readonly commands: readonly Node[];
  readonly options: readonly OptionWords[];
  readonly arguments: readonly string[];
};

type OptionWords = {
  readonly flags: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  /** Its value is a file or a directory. */
  readonly isFile: boolean;
};

/** A script that completes commands, options and their choices, written for one shell. */
export function completionScript(shell: Shell, program: Command): string {
  const root = nodeOf(program, "");
  const nodes = [...descendants(root)];
  if (shell === "bash") return bashScript(nodes);
  return shell === "zsh" ? zshScript(nodes) : fishScript(nodes);
}

function nodeOf(command: Command, path: string): Node {
  const help = command.createHelp();
  return {
    path,
    description: oneLine(command.description()),
    commands: help.visibleCommands(command).map((each) => nodeOf(each, `${path} ${each.name()}`.trim())),
    options: help.visibleOptions(command).map(wordsOf),
    arguments: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
}

function wordsOf(option: Option): OptionWords {
  const value = /[<[](\w+)/.exec(option.flags)?.[1];
  return {
    flags: [option.short, option.long].filter((flag) => typeof flag === "string"),
    description: oneLine(option.description),
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
    isFile: value === "file" || value === "directory",
  };
}

function* descendants(node: Node): Generator<Node> {
  yield node;
  for (const each of node.commands) yield* descendants(each);
}

/** What may stand after a command. */
function wordsAfter(node: Node): string {
  const names = node.commands.map(({ path }) => path.split(" ").at(-1) ?? "");
  return [...names, ...node.arguments, ...node.options.flatMap(({ flags }) => flags)].join(" ");
}

/** The cases of a shell's `case` on "command path option". */
function valueCases(nodes: readonly Node[], files: string, choices: (words: string) => string): string {
  const lines = nodes.flatMap(({ path, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .flatMap((option) =>
        option.flags.map((flag) => {
          const action = option.isFile ? files : choices(option.choices.join(" "));
          return `    ${quoted(`${path} ${flag}`.trim())}) ${action}; return ;;`;
        }),
      ),
  );
  return lines.join("\n");
}

function pathCases(nodes: readonly Node[]): string {
  return nodes
    .filter(({ path }) => path !== "")
    .map(({ path }) => quoted(path))
    .join("|");
}

function bashScript(nodes: readonly Node[]): string {
  return `# Completion of hedgerow for bash: source <(hedgerow completion bash)
_hedgerow() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path= word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "\${path:+$path }$word" in
      ${pathCases(nodes)}) path="\${path:+$path }$word" ;;
    esac
  done
  case "\${path:+$path }$previous" in
${valueCases(nodes, 'mapfile -t COMPREPLY < <(compgen -f -- "$current")', (words) => (words === "" ? ":" : `mapfile -t COMPREPLY < <(compgen -W ${quoted(words)} -- "$current")`))}
  esac
  case "$path" in
${nodes.map((node) => `    ${quoted(node.path)}) word=${quoted(wordsAfter(node))} ;;`).join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
}
complete -F _hedgerow hedgerow ./hedgerow`;
}

function zshScript(nodes: readonly Node[]): string {
  const described = (node: Node): string =>
    [
      ...node.commands.map(({ path, description }) => [path.split(" ").at(-1) ?? "", description] as const),
      ...node.arguments.map((argument) => [argument, ""] as const),
      ...node.options.flatMap(({ flags, description }) => flags.map((flag) => [flag, description] as const)),
    ]
      .map(([word, description]) => quoted(`${word}:${description.replaceAll(":", "\\:")}`))
      .join(" ");
  return `#compdef hedgerow
# Completion of hedgerow for zsh: source <(hedgerow completion zsh)
_hedgerow() {
  local path_= word previous=\${words[CURRENT-1]} i
  local -a answers
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
    case "\${path_:+$path_ }$word" in
      ${pathCases(nodes)}) path_="\${path_:+$path_ }$word" ;;
    esac
  done
  case "\${path_:+$path_ }$previous" in
${valueCases(nodes, "_files", (words) => (words === "" ? ":" : `compadd -- ${words}`))}
  esac
  case "$path_" in
${nodes.map((node) => `    ${quoted(node.path)}) answers=(${described(node)}) ;;`).join("\n")}
  esac
  _describe -t words hedgerow answers
}
compdef _hedgerow hedgerow ./hedgerow`;
}

function fishScript(nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const condition = quoted(`test "$(__hedgerow_path)" = ${node.path === "" ? '""' : `"${node.path}"`}`);
    const commands = node.commands.map(
      ({ path, description }) =>
        `complete -c hedgerow -n ${condition} -f -a ${quoted(path.split(" ").at(-1) ?? "")} -d ${quoted(description)}`,
    );
    const choices = node.arguments.map((word) => `complete -c hedgerow -n ${condition} -f -a ${quoted(word)}`);
    const options = node.options.map(({ flags, description, takesValue, choices: values, isFile }) => {
      const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const value = takesValue
        ? isFile
          ? " -r -F"
          : ` -x${values.length > 0 ? ` -a ${quoted(values.join(" "))}` : ""}`
        : "";
      return `complete -c hedgerow -n ${condition} ${names.join(" ")}${value} -d ${quoted(description)}`;
    });
    return [...commands, ...choices, ...options];
  });
  const paths = nodes.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `# Completion of hedgerow for fish: hedgerow completion fish > ~/.config/fish/completions/hedgerow.fish
function __hedgerow_path
  set -l path
  for word in (commandline -opc)[2..]
    set -l longer (string trim "$path $word")
    contains -- $longer ${paths.join(" ")}; and set path $longer
  end
  echo -n $path
end
${lines.join("\n")}`;
}

/** A word that a shell takes as it is. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
