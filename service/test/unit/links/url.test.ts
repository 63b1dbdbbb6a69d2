import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readTarget } from "../../../src/core/links/url.ts";

describe("the address of", () => {
  it.each([
    // GitHub, and servers with its addresses
    [
      "https://github.com/Acme/Web/issues/12",
      "https://github.com/acme/web/issues/12",
      "github",
      "issue",
      "Acme/Web#12",
    ],
    [
      "http://www.github.com/acme/web/issues/12/",
      "https://github.com/acme/web/issues/12",
      "github",
      "issue",
      "acme/web#12",
    ],
    [
      "https://github.com/acme/web/issues/12?x=1#issuecomment-5",
      "https://github.com/acme/web/issues/12",
      "github",
      "issue",
      "acme/web#12",
    ],
    [
      "https://github.com/acme/web/pull/7/files#diff-1",
      "https://github.com/acme/web/pull/7",
      "github",
      "pull-request",
      "acme/web#7",
    ],
    [
      "https://GitHub.com:443/acme/web.js/pull/7",
      "https://github.com/acme/web.js/pull/7",
      "github",
      "pull-request",
      "acme/web.js#7",
    ],
    [
      "https://git.example.com/acme/web/issues/12",
      "https://git.example.com/acme/web/issues/12",
      "github",
      "issue",
      "acme/web#12",
    ],
    [
      "http://git.example.com:8080/acme/web/pull/1",
      "http://git.example.com:8080/acme/web/pull/1",
      "github",
      "pull-request",
      "acme/web#1",
    ],
    // GitLab
    [
      "https://gitlab.com/Group/Sub/Project/-/issues/3",
      "https://gitlab.com/group/sub/project/-/issues/3",
      "gitlab",
      "issue",
      "Group/Sub/Project#3",
    ],
    [
      "https://gitlab.com/group/project/-/work_items/3",
      "https://gitlab.com/group/project/-/issues/3",
      "gitlab",
      "issue",
      "group/project#3",
    ],
    [
      "https://gitlab.com/group/project/-/merge_requests/4/diffs",
      "https://gitlab.com/group/project/-/merge_requests/4",
      "gitlab",
      "pull-request",
      "group/project!4",
    ],
    [
      "https://gitlab.com/group/project/merge_requests/4",
      "https://gitlab.com/group/project/-/merge_requests/4",
      "gitlab",
      "pull-request",
      "group/project!4",
    ],
    [
      "https://code.example.com/group/project/-/issues/3",
      "https://code.example.com/group/project/-/issues/3",
      "gitlab",
      "issue",
      "group/project#3",
    ],
    // Jira
    [
      "https://acme.atlassian.net/browse/abc-12",
      "https://acme.atlassian.net/browse/ABC-12",
      "jira",
      "issue",
      "ABC-12",
    ],
    [
      "https://acme.atlassian.net/jira/software/projects/ABC/boards/1?selectedIssue=ABC-12",
      "https://acme.atlassian.net/browse/ABC-12",
      "jira",
      "issue",
      "ABC-12",
    ],
    [
      "https://acme.atlassian.net/jira/software/c/projects/ABC/issues/ABC-12?filter=all",
      "https://acme.atlassian.net/browse/ABC-12",
      "jira",
      "issue",
      "ABC-12",
    ],
    [
      "https://jira.example.com/browse/ABC-12?focusedId=1",
      "https://jira.example.com/browse/ABC-12",
      "jira",
      "issue",
      "ABC-12",
    ],
    [
      "https://example.com/tools/jira/browse/AB_C1-12/",
      "https://example.com/tools/jira/browse/AB_C1-12",
      "jira",
      "issue",
      "AB_C1-12",
    ],
    [
      "https://example.com/jira/projects/ABC/issues/ABC-12",
      "https://example.com/jira/browse/ABC-12",
      "jira",
      "issue",
      "ABC-12",
    ],
    // Linear
    [
      "https://linear.app/Acme/issue/eng-12/a-title",
      "https://linear.app/acme/issue/ENG-12",
      "linear",
      "issue",
      "ENG-12",
    ],
    [
      "https://linear.app/acme/issue/ENG-12",
      "https://linear.app/acme/issue/ENG-12",
      "linear",
      "issue",
      "ENG-12",
    ],
  ])("%s is read", (text, url, provider, kind, key) => {
    expect(readTarget(text)).toEqual({ url, provider, kind, key });
  });

  it.each([
    "",
    "acme/web#12",
    "github.com/acme/web/issues/12",
    "ftp://github.com/acme/web/issues/12",
    "javascript://github.com/acme/web/issues/12",
    "file:///acme/web/issues/12",
    "https://me:secret@github.com/acme/web/issues/12",
    "https://token@github.com/acme/web/issues/12",
    "https://github.com/acme/web/issues",
    "https://github.com/acme/web/issues/0",
    "https://github.com/acme/web/issues/1x",
    "https://github.com/acme/web/issues/new",
    "https://github.com/acme/web/issues/12345678901",
    "https://github.com/acme/issues/12",
    "https://github.com/acme/web",
    "https://github.com/acme/web/commit/abcdef",
    "https://github.com/acme/web/pull/7\n",
    "https://github.com/ac me/web/pull/7",
    "https:\\\\github.com\\acme\\web\\pull\\7",
    "https://github.com/acme%2Fweb/x/pull/7",
    "https://github.com/a<b>/x/pull/7",
    "https://gitlab.com/project/-/issues/3",
    "https://linear.app/acme/project/x",
    "https://linear.app/acme/web/issues/12",
    "https://acme.atlassian.net/browse/ABC",
    "https://acme.atlassian.net/jira/boards/1?selectedIssue=%3Cb%3E",
    "https://jira.example.com/boards/1?selectedIssue=ABC-12",
    `https://git.example.com/${"a".repeat(1000)}/web/issues/12`,
  ])("%j is refused", (text) => {
    expect(readTarget(text)).toBeUndefined();
  });

  it("is the same in its canonical form, and keeps to plain characters whatever comes in", () => {
    const part = fc.constantFrom(
      "https://",
      "http://",
      "github.com",
      "gitlab.com",
      "linear.app",
      "a.atlassian.net",
      "x.example",
      "/",
      "/-/",
      "acme",
      "WEB",
      "issues",
      "issue",
      "pull",
      "browse",
      "projects",
      "merge_requests",
      "ABC-12",
      "7",
      "..",
      "%2e",
      "?selectedIssue=A-1",
      "#x",
      "@",
      ":",
      " ",
      "é",
      "\t",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string({ maxLength: 3 })), { maxLength: 14 }), (parts) => {
        const target = readTarget(parts.join(""));
        if (target === undefined) return;
        expect(target.url).toMatch(/^https?:\/\/[\x21-\x7e]+$/);
        expect(target.url).not.toMatch(/[?#@<>"']/);
        expect(readTarget(target.url)).toMatchObject({
          url: target.url,
          provider: target.provider,
          kind: target.kind,
        });
      }),
      {
        numRuns: 2000,
        examples: [[["https://x.example/acme/WEB/issues/7"]], [["https://a.atlassian.net/browse/ABC-12"]]],
      },
    );
  });
});
