import { Argument, Command, Option } from "commander";
import { expect, it } from "vitest";
import { completionScript } from "../../../src/cli/completion.ts";

function sample(): Command {
  const program = new Command("my-tool").helpCommand(false);
  program
    .command("paint")
    .alias("p")
    .description("don't spill it")
    .addArgument(new Argument("<colour>").choices(["red", "green"]))
    .argument("[file]")
    .addOption(new Option("-s, --size <size>").choices(["big", "small"]))
    .option("--from <path>", "where from")
    .option("--name <text>", "a name")
    .addOption(new Option("--secret").hideHelp());
  program.command("shop").description("buy").command("open").description("open it");
  return program;
}

it("knows commands, aliases, options, their values and operands, and nothing that is hidden", () => {
  const script = completionScript(sample(), "bash");
  expect(script).toContain("flags='-s --size --from --name -h --help'");
  expect(script).toContain("'paint'|'p') path='paint' operands=0");
  expect(script).toContain("'shop open') path='shop open' operands=0");
  expect(script).toMatch(/'paint -s'\|'paint --size'\) .*'big small'/);
  expect(script).toMatch(/'paint --from'\) .*compgen -f/);
  expect(script).toMatch(/'paint 0'\) .*'red green'/);
  expect(script).toMatch(/'paint 1'\) .*compgen -f/);
  expect(script).not.toContain("secret");
  expect(script).toContain("complete -F _my_tool my-tool");
});

it("says the same to fish, quoted, and to zsh by way of bash", () => {
  const fish = completionScript(sample(), "fish").split("\n");
  expect(fish).toContain("complete -c my-tool -n '__fish_use_subcommand' -a p -d 'don'\\''t spill it'");
  expect(fish).toContain(
    "complete -c my-tool -n '__fish_seen_subcommand_from paint' -s s -l size -d '' -x -a 'big small'",
  );
  expect(fish).toContain(
    "complete -c my-tool -n '__fish_seen_subcommand_from paint' -l from -d 'where from' -r -F",
  );
  expect(fish).toContain(
    "complete -c my-tool -n '__fish_seen_subcommand_from shop; and not __fish_seen_subcommand_from open help' -a open -d 'open it'",
  );
  expect(completionScript(sample(), "zsh")).toContain(completionScript(sample(), "bash"));
});
