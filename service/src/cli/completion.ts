import type { Command, Option } from "commander";

/** What can stand behind a command, as a shell needs to know it. */
interface Entry {
  /** The words that lead here, such as ["tags", "add"]; none for the program itself. */
  path: string[];
  commands: { names: string[]; description: string }[];
  options: { names: string[]; description: string; value: boolean; choices: string[]; files: boolean }[];
  /** Of each operand in its place, the words that it can be. */
  operands: { choices: string[]; files: boolean }[];
}

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/**
 * A script that completes the program's command line by itself: nothing is started and nothing that was typed is
 * evaluated while somebody looks for a word.
 */
export function completionScript(program: Command, shell: Shell): string {
  const entries = entriesOf(program);
  const name = program.name();
  if (shell === "fish") return fishScript(name, entries);
  const bash = bashScript(name, entries);
  // zsh runs bash's completions by a module of its own.
  return shell === "bash"
    ? bash
    : `#compdef ${name}\nautoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

function entriesOf(command: Command, path: string[] = []): Entry[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const entry: Entry = {
    path,
    commands: commands.map((one) => ({
      names: [one.name(), ...one.aliases()],
      description: one.description(),
    })),
    options: help.visibleOptions(command).map((option) => ({
      names: [option.short, option.long].filter((flag) => flag !== undefined),
      description: option.description,
      value: takesValue(option),
      choices: option.argChoices ?? [],
      files: option.flags.includes("<path>"),
    })),
    operands: command.registeredArguments.map((argument) => ({
      choices: argument.argChoices ?? [],
      files: argument.name() === "file",
    })),
  };
  const below = commands.filter((one) => one.name() !== "help");
  return [entry, ...below.flatMap((one) => entriesOf(one, [...path, one.name()]))];
}

const takesValue = (option: Option) => option.required || option.optional;

/** Quoted for a shell: the words are the program's own, but an apostrophe is one of them. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function bashScript(name: string, entries: readonly Entry[]): string {
  const fn = `_${name.replaceAll("-", "_")}`;
  const valued = new Set(
    entries.flatMap(({ options }) => options.flatMap((one) => (one.value ? one.names : []))),
  );
  const paths = entries.flatMap(({ path, commands }) =>
    commands.map(({ names: [canonical = "", ...aliases] }) => {
      const patterns = [canonical, ...aliases].map((word) => quoted([...path, word].join(" ")));
      return `      ${patterns.join("|")}) path=${quoted([...path, canonical].join(" "))} operands=0 ;;`;
    }),
  );
  const values = entries.flatMap(({ path, options }) =>
    options
      .filter(({ choices, files }) => choices.length > 0 || files)
      .map(({ names, choices, files }) => {
        const patterns = names.map((flag) => quoted([...path, flag].join(" ")));
        return `    ${patterns.join("|")}) ${reply(choices, files)}; return ;;`;
      }),
  );
  const words = entries.map(({ path, commands, options }) => {
    const flags = options.flatMap(({ names }) => names).join(" ");
    const subcommands = commands.flatMap(({ names }) => names).join(" ");
    return `    ${quoted(path.join(" "))}) flags=${quoted(flags)} commands=${quoted(subcommands)} ;;`;
  });
  const operands = entries.flatMap(({ path, operands }) =>
    operands.flatMap(({ choices, files }, index) =>
      choices.length > 0 || files
        ? [`    ${quoted([...path, index].join(" "))}) ${reply(choices, files)}; return ;;`]
        : [],
    ),
  );
  return `# Completes ${name} in bash. To use it, put this into ~/.bashrc:
#   source <(${name} completion bash)
${fn}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
  local path='' operands=0 flags='' commands='' word skip='' i
  # Bash takes --flag=value apart at the sign.
  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  for (( i = 1; i < COMP_CWORD; i++ )); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == = ]]; then skip=1; continue; fi
    if [[ -n $skip ]]; then skip=''; continue; fi
    case "$word" in
      ${[...valued].join("|")}) skip=1; continue ;;
      -*) continue ;;
    esac
    case "\${path:+$path }$word" in
${paths.join("\n")}
      *) operands=$(( operands + 1 )) ;;
    esac
  done
  COMPREPLY=()
  case "\${path:+$path }$prev" in
${values.join("\n")}
  esac
  case "$prev" in
    ${[...valued].join("|")}) return ;;
  esac
  case "$path" in
${words.join("\n")}
  esac
  if [[ $cur == -* ]]; then COMPREPLY=( $(compgen -W "$flags" -- "$cur") ); return; fi
  if (( operands == 0 )); then COMPREPLY=( $(compgen -W "$commands" -- "$cur") ); fi
  case "\${path:+$path }$operands" in
${operands.join("\n")}
  esac
}
complete -F ${fn} ${name}
`;
}

function reply(choices: readonly string[], files: boolean): string {
  return files
    ? `compopt -o filenames 2>/dev/null; local IFS=$'\\n'; COMPREPLY+=( $(compgen -f -- "$cur") )`
    : `COMPREPLY+=( $(compgen -W ${quoted(choices.join(" "))} -- "$cur") )`;
}

function fishScript(name: string, entries: readonly Entry[]): string {
  const lines = entries.flatMap(({ path, commands, options, operands }) => {
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
    const names = commands.flatMap((one) => one.names).join(" ");
    const first =
      path.length === 0 ? "__fish_use_subcommand" : `${seen}; and not __fish_seen_subcommand_from ${names}`;
    const line = (condition: string, ...parts: string[]) =>
      [`complete -c ${name}`, ...(condition === "" ? [] : [`-n ${quoted(condition)}`]), ...parts].join(" ");
    return [
      ...commands.flatMap((one) =>
        one.names.map((word) => line(first, `-a ${word}`, `-d ${quoted(one.description)}`)),
      ),
      ...options.map((option) =>
        line(
          path.length === 0 ? "__fish_use_subcommand" : seen,
          ...option.names.map((flag) =>
            flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
          ),
          `-d ${quoted(option.description)}`,
          ...(option.files ? ["-r -F"] : option.value ? ["-x"] : []),
          ...(option.choices.length > 0 ? [`-a ${quoted(option.choices.join(" "))}`] : []),
        ),
      ),
      ...operands.flatMap(({ choices, files }) => [
        ...(choices.length > 0 ? [line(seen, `-a ${quoted(choices.join(" "))}`)] : []),
        ...(files ? [line(seen, "-F")] : []),
      ]),
    ];
  });
  return `# Completes ${name} in fish. To use it, run:
#   ${name} completion fish > ~/.config/fish/completions/${name}.fish
complete -c ${name} -f
${lines.join("\n")}
`;
}
