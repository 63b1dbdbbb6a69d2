#!/usr/bin/env node
import { enableCompileCache } from "node:module";

// A list of tasks is over before it pays to compile a program of this size anew. What is imported at the top would be compiled
// before this is said.
enableCompileCache();
await import("./main.ts");
