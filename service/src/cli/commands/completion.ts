import { Argument, type Command } from "commander";
import { completionScript, type Shell, shells } from "../completion.ts";
import type { Host } from "../host.ts";

/** To be added when every other command is there. */
export function addCompletion(program: Command, host: Host): void {
  program
    .command("completion")
    .description("print a script that completes this command line in your shell")
    .addArgument(new Argument("<shell>", "your shell").choices(shells))
    .addHelpText(
      "after",
      `
In bash, put this into ~/.bashrc:       source <(task-master-pro completion bash)
In zsh, put this into ~/.zshrc:         source <(task-master-pro completion zsh)
In fish, run this once:                 task-master-pro completion fish > ~/.config/fish/completions/task-master-pro.fish`,
    )
    .action((shell: Shell) => {
      host.stdout.write(completionScript(program, shell));
    });
}
