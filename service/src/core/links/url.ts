import type { LinkKind, LinkProvider } from "./schema.ts";

/** What a tracker's address names. */
export interface Target {
  /** The one form that all addresses of the same thing come to. */
  url: string;
  provider: LinkProvider;
  kind: LinkKind;
  /** As people write it: owner/repo#12, group/project!12, ABC-12. */
  key: string;
}

/** Longer than any real address, and short enough for an index. */
const maximumLength = 1000;
const number = "[1-9]\\d{0,9}";
// A segment that is a dash is where GitLab's own addresses begin.
const name = "(?!-(?:/|$))[A-Za-z0-9_.-]+";
const issueKey = "[A-Za-z][A-Za-z0-9_]{0,30}-[1-9]\\d{0,9}";

const github = new RegExp(`^/(${name}/${name})/(issues|pull)/(${number})(?:/.*)?$`);
const gitlab = new RegExp(
  `^/(${name}(?:/${name})+)/-/(issues|work_items|merge_requests)/(${number})(?:/.*)?$`,
);
/** Before 2020 GitLab had them without the dash, and still leads from there. */
const gitlabOld = new RegExp(`^/(${name}(?:/${name})+)/(issues|merge_requests)/(${number})(?:/.*)?$`);
const linear = new RegExp(`^/([A-Za-z0-9_-]+)/issue/(${issueKey})(?:/.*)?$`);
const jira = new RegExp(`^((?:/${name})*?)/browse/(${issueKey})$`);
const jiraInProject = new RegExp(`^((?:/${name})*?)/projects/[A-Za-z0-9_]+/issues/(${issueKey})$`);

/**
 * The issue, pull request or merge request that an address names; undefined for anything else. Servers of one's own are
 * recognized by the form of the path: nobody has to name them first, and two products never share a form, but that
 * GitHub's is also that of its imitators. Whatever stands behind the number (/files, a title, a fragment) is left out.
 */
export function readTarget(text: string): Target | undefined {
  const url = parse(text);
  if (url === undefined) return undefined;
  const target = recognize(url);
  return target === undefined || target.url.length > maximumLength ? undefined : target;
}

function parse(text: string): URL | undefined {
  // A URL parser drops line breaks and turns backslashes around: what is stored would not be what was shown.
  if (/[\s\\\p{Cc}]/u.test(text)) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) return undefined;
  // A link is shown to all who can read the task; a password in it would be, too.
  if (url.username !== "" || url.password !== "") return undefined;
  return url;
}

function recognize(url: URL): Target | undefined {
  const host = url.host.replace(/^www\.(github|gitlab)\.com$/, "$1.com");
  const path = url.pathname.replace(/\/+$/, "");
  if (host === "linear.app") return inLinear(path);
  if (host.endsWith(".atlassian.net")) return inJira(`https://${host}`, path, url);
  if (host === "github.com") return inGitHub("https://github.com", path);
  if (host === "gitlab.com") return inGitLab("https://gitlab.com", path, gitlabOld);
  const origin = url.origin;
  return inGitLab(origin, path) ?? inGitHub(origin, path) ?? inJira(origin, path, url);
}

function inGitHub(origin: string, path: string): Target | undefined {
  const [, repository, where, id] = github.exec(path) ?? [];
  if (repository === undefined || id === undefined) return undefined;
  const kind = where === "pull" ? "pull-request" : "issue";
  // Owners and repositories are the same in upper and lower case.
  const url = `${origin}/${repository.toLowerCase()}/${where}/${id}`;
  return { url, provider: "github", kind, key: `${repository}#${id}` };
}

function inGitLab(origin: string, path: string, older?: RegExp): Target | undefined {
  const [, project, where, id] = gitlab.exec(path) ?? older?.exec(path) ?? [];
  if (project === undefined || id === undefined) return undefined;
  const merge = where === "merge_requests";
  // An issue is a work item by its newer name, with the same number.
  const url = `${origin}/${project.toLowerCase()}/-/${merge ? "merge_requests" : "issues"}/${id}`;
  const kind = merge ? "pull-request" : "issue";
  return { url, provider: "gitlab", kind, key: `${project}${merge ? "!" : "#"}${id}` };
}

function inLinear(path: string): Target | undefined {
  const [, workspace, id] = linear.exec(path) ?? [];
  if (workspace === undefined || id === undefined) return undefined;
  const key = id.toUpperCase();
  const url = `https://linear.app/${workspace.toLowerCase()}/issue/${key}`;
  return { url, provider: "linear", kind: "issue", key };
}

function inJira(origin: string, path: string, url: URL): Target | undefined {
  const cloud = origin.endsWith(".atlassian.net");
  const [, context = "", id] = jira.exec(path) ?? jiraInProject.exec(path) ?? [];
  // A board shows the issue that is chosen on it.
  const chosen = cloud ? url.searchParams.get("selectedIssue") : null;
  const found = id ?? (chosen !== null && new RegExp(`^${issueKey}$`).test(chosen) ? chosen : undefined);
  if (found === undefined) return undefined;
  const key = found.toUpperCase();
  // In the cloud everything is at the root; a server of one's own may lie below a path, which is the same in all its forms.
  return { url: `${origin}${cloud ? "" : context}/browse/${key}`, provider: "jira", kind: "issue", key };
}
