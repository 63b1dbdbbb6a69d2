/** What Prometheus sees of the release that the rules are of. */
const server = 'namespace="prod",job="tm-task-master-pro-metrics",instance="a:9464",pod="a"';
const other = 'namespace="prod",job="tm-task-master-pro-metrics",instance="b:9464",pod="b"';
const backups = 'namespace="prod",job="tm-task-master-pro-backup-metrics",instance="c:9464",pod="c"';
/** Another release in the same Prometheus. */
const foreign = 'namespace="test",job="tm-task-master-pro-metrics",instance="d:9464",pod="d"';
const neighbour = 'namespace="prod",job="tmb-task-master-pro-metrics",instance="e:9464",pod="e"';

export interface Firing {
  labels: Record<string, string>;
  /** As the annotations write it, where they do. */
  value?: string;
}
export interface Case {
  alert: string;
  what: string;
  /** A sample a minute, in promtool's notation. */
  series: Record<string, string>;
  /** When it is asked. */
  minutes: number;
  /** The level that it is about; what others record is then left out. */
  slo?: string;
  /** All that fire under this name then. */
  fires: Firing[];
}

/** A counter that grows by so much a minute, for so many minutes each; whole numbers, or the sum would end beside what comes next. */
function counter(...parts: [perMinute: number, minutes: number][]): string {
  let value = 0;
  return parts
    .map(([step, minutes], index) => {
      const from = index === 0 ? value : value + step;
      const times = index === 0 ? minutes : minutes - 1;
      value += step * minutes;
      return `${from}+${step}x${times}`;
    })
    .join(" ");
}
const minutesOf = (parts: readonly (readonly [number, number])[]) =>
  parts.reduce((sum, [, minutes]) => sum + minutes, 0);

/** The share that is bad, in percent of ten thousand a minute, for so many minutes each. */
type Course = [percent: number, minutes: number][];

const labels = (of: string, status: string, route: string) =>
  `${of},http_request_method="GET",http_route="${route}",http_response_status_code="${status}"`;
const requests = (of: string, status: string, route = "/api/v1/me") =>
  `http_server_request_duration_seconds_count{${labels(of, status, route)}}`;
/** Those that took 300 ms at the most. */
const within = (of: string, status: string, route = "/api/v1/me") =>
  `http_server_request_duration_seconds_bucket{${labels(of, status, route)},le="0.3"}`;
const stream = "/api/v1/projects/:key/events/stream";

const bad = (course: Course) =>
  counter(...course.map(([percent, minutes]): [number, number] => [Math.round(percent * 100), minutes]));
const good = (course: Course) =>
  counter(
    ...course.map(([percent, minutes]): [number, number] => [Math.round((100 - percent) * 100), minutes]),
  );
const all = (course: Course) => counter([10_000, minutesOf(course)]);

/** How the three levels come from what is measured. Latency and events may miss ten times as often as availability. */
const levels = [
  {
    alert: "TaskmasterAvailabilityBurn",
    slo: "availability",
    scale: 1,
    series: (course: Course) => ({
      [requests(server, "200")]: good(course),
      [requests(server, "503")]: bad(course),
      // Nobody's requests.
      [requests(server, "503", "/readyz")]: all(course),
      [requests(server, "404", "")]: all(course),
    }),
  },
  {
    alert: "TaskmasterLatencyBurn",
    slo: "latency",
    scale: 10,
    series: (course: Course) => ({
      [requests(server, "200")]: all(course),
      [within(server, "200")]: good(course),
      // A stream is long by nature, and what fails is quick.
      [requests(server, "200", stream)]: all(course),
      [within(server, "200", stream)]: counter([0, minutesOf(course)]),
      [requests(server, "503")]: all(course),
      [within(server, "503")]: all(course),
    }),
  },
  {
    alert: "TaskmasterEventFreshnessBurn",
    slo: "event_freshness",
    scale: 10,
    series: (course: Course) => ({
      [`taskmaster_event_delivery_seconds_count{${server}}`]: all(course),
      // As Prometheus 3 writes the bound.
      [`taskmaster_event_delivery_seconds_bucket{${server},le="1.0"}`]: good(course),
    }),
  },
];

/** In percent for a promise of 99.9 %. Before each, so much without a fault that the longer windows have nothing to say of it. */
const courses: [what: string, course: Course, windows: string[]][] = [
  [
    "a burst of ten minutes, 12 %",
    [
      [0, 1_440],
      [12, 10],
    ],
    ["1h"],
  ],
  [
    "a burst of ten minutes, 7 %",
    [
      [0, 1_440],
      [7, 10],
    ],
    [],
  ],
  [
    "a burst that has been over for ten minutes",
    [
      [0, 1_440],
      [12, 10],
      [0, 10],
    ],
    [],
  ],
  [
    "three hours of 1.3 %",
    [
      [0, 2_880],
      [1.3, 180],
    ],
    ["6h"],
  ],
  [
    "three hours of 1.1 %",
    [
      [0, 2_880],
      [1.1, 180],
    ],
    [],
  ],
  [
    "three hours of 1.3 %, over for forty minutes",
    [
      [0, 2_880],
      [1.3, 180],
      [0, 40],
    ],
    [],
  ],
  [
    "fourteen hours of 0.55 %, which is as much in three days",
    [
      [0, 4_320],
      [0.55, 840],
    ],
    ["1d", "3d"],
  ],
  [
    "thirteen hours of 0.5 %",
    [
      [0, 4_320],
      [0.5, 780],
    ],
    [],
  ],
  [
    "sixty hours of 0.15 %",
    [
      [0, 1_200],
      [0.15, 3_600],
    ],
    ["3d"],
  ],
  [
    "sixty hours of 0.11 %",
    [
      [0, 1_200],
      [0.11, 3_600],
    ],
    [],
  ],
];
const severities: Record<string, string> = { "1h": "page", "6h": "page", "1d": "ticket", "3d": "ticket" };

const burns: Case[] = levels.flatMap(({ alert, slo, scale, series }) =>
  courses.map(([what, course, windows]) => ({
    alert,
    what: scale === 1 ? what : `${what}, and ten times that or all`,
    series: series(course.map(([bad, minutes]): [number, number] => [Math.min(bad * scale, 100), minutes])),
    minutes: minutesOf(course),
    slo,
    fires: windows.map((window) => ({ labels: { severity: severities[window] ?? "", slo, window } })),
  })),
);

const page = { severity: "page" };
const ticket = { severity: "ticket" };
const at = (instance: string) => ({ instance: `${instance}:9464`, pod: instance });
const reading = (of: string, name: string) => `taskmaster_reading_success{${of},reading="${name}"}`;

export const cases: Case[] = [
  ...burns,
  {
    alert: "TaskmasterAvailabilityBurn",
    what: "four errors of eight requests in an hour are too few to call somebody for",
    series: {
      [requests(server, "200")]: counter([0, 55], [1, 5]),
      [requests(server, "503")]: counter([0, 56], [1, 4]),
    },
    minutes: 60,
    fires: [],
  },
  {
    alert: "TaskmasterAvailabilityBurn",
    what: "an outage calls at once, and not at the next of the five minutes that errors are added up by",
    series: {
      [requests(server, "200")]: counter([10, 53]),
      [requests(server, "503")]: counter([0, 51], [100, 2]),
    },
    minutes: 53,
    slo: "availability",
    fires: Object.entries(severities).map(([window, severity]) => ({
      labels: { severity, slo: "availability", window },
    })),
  },
  {
    alert: "TaskmasterAvailabilityBurn",
    what: "other releases' errors are theirs",
    series: {
      [requests(server, "200")]: counter([100, 60]),
      [requests(foreign, "503")]: counter([100, 60]),
      [requests(neighbour, "503")]: counter([100, 60]),
    },
    minutes: 60,
    fires: [],
  },
  {
    alert: "TaskmasterDown",
    what: "no server answers for two minutes",
    series: { [`up{${server}}`]: "1x2 0x5", [`up{${other}}`]: "0x10", [`up{${foreign}}`]: "1x10" },
    minutes: 6,
    fires: [{ labels: page }],
  },
  {
    alert: "TaskmasterDown",
    what: "there is none to be scraped",
    series: { [`up{${foreign}}`]: "1x10", [`up{${neighbour}}`]: "1x10" },
    minutes: 3,
    fires: [{ labels: page }],
  },
  {
    alert: "TaskmasterDown",
    what: "one of two answers",
    series: { [`up{${server}}`]: "1x10", [`up{${other}}`]: "0x10" },
    minutes: 10,
    fires: [],
  },
  {
    alert: "TaskmasterDown",
    what: "no server answers for a minute",
    series: { [`up{${server}}`]: "1x8 0x5" },
    minutes: 10,
    fires: [],
  },
  {
    alert: "TaskmasterServerDown",
    what: "one has not answered for five minutes",
    series: { [`up{${server}}`]: "1x2 0x9", [`up{${other}}`]: "1x10", [`up{${foreign}}`]: "0x10" },
    minutes: 8,
    fires: [{ labels: { ...ticket, ...at("a") } }],
  },
  {
    alert: "TaskmasterServerDown",
    what: "one has not answered for four minutes",
    series: { [`up{${server}}`]: "1x2 0x9", [`up{${other}}`]: "1x10" },
    minutes: 7,
    fires: [],
  },
  {
    alert: "TaskmasterCrashLooping",
    what: "two restarts within 15 minutes",
    series: { [`process_start_time_seconds{${server}}`]: "100x5 460x5 820x5" },
    minutes: 14,
    fires: [{ labels: { ...page, ...at("a") }, value: "2" }],
  },
  {
    alert: "TaskmasterCrashLooping",
    what: "one restart, and another release's loop",
    series: {
      [`process_start_time_seconds{${server}}`]: "100x5 460x20",
      [`process_start_time_seconds{${neighbour}}`]: "100x5 460x5 820x5",
    },
    minutes: 14,
    fires: [],
  },
  {
    alert: "TaskmasterMetricsMissing",
    what: "a server answers that has no metrics of requests",
    series: { [`up{${server}}`]: "1x20", [requests(foreign, "200")]: "0+1x20" },
    minutes: 11,
    fires: [{ labels: ticket }],
  },
  {
    alert: "TaskmasterMetricsMissing",
    what: "one of two has them",
    series: { [`up{${server}}`]: "1x20", [`up{${other}}`]: "1x20", [requests(other, "200")]: "0+1x20" },
    minutes: 11,
    fires: [],
  },
  {
    alert: "TaskmasterMetricsMissing",
    what: "no server answers, which another alert says",
    series: { [`up{${server}}`]: "0x20" },
    minutes: 11,
    fires: [],
  },
  {
    alert: "TaskmasterDatabaseUnreachable",
    what: "no server has read it for a minute",
    series: {
      [reading(server, "migration")]: "1x2 0x5",
      [reading(other, "migration")]: "0x7",
      [reading(foreign, "migration")]: "1x7",
    },
    minutes: 4,
    fires: [{ labels: page }],
  },
  {
    alert: "TaskmasterDatabaseUnreachable",
    what: "one of two reads it",
    series: { [reading(server, "migration")]: "0x7", [reading(other, "migration")]: "1x7" },
    minutes: 6,
    fires: [],
  },
  {
    alert: "TaskmasterDatabaseUnreachable",
    what: "only a count took too long",
    series: { [reading(server, "migration")]: "1x7", [reading(server, "ready_tasks")]: "0x7" },
    minutes: 6,
    fires: [],
  },
  {
    alert: "TaskmasterDatabasePoolExhausted",
    what: "at least three wait at every look",
    series: { [`taskmaster_database_connections_waiting{${server}}`]: "5 3 4 9 3 3 7 3 3 3 3" },
    minutes: 10,
    fires: [{ labels: { ...ticket, ...at("a") }, value: "3" }],
  },
  {
    alert: "TaskmasterDatabasePoolExhausted",
    what: "none waits now and then",
    series: {
      [`taskmaster_database_connections_waiting{${server}}`]: "5 3 4 9 0 3 7 3 3 0 3",
      [`taskmaster_database_connections_waiting{${foreign}}`]: "9x10",
    },
    minutes: 10,
    fires: [],
  },
  {
    alert: "TaskmasterWebhooksOverdue",
    what: "one is due for a quarter of an hour",
    series: {
      [`taskmaster_webhook_delivery_overdue_seconds{${server}}`]: "0+60x20",
      [`taskmaster_webhook_delivery_overdue_seconds{${other}}`]: "0+60x20",
    },
    minutes: 15,
    fires: [{ labels: ticket, value: "15m 0s" }],
  },
  {
    alert: "TaskmasterWebhooksOverdue",
    what: "one is due for five minutes",
    series: {
      [`taskmaster_webhook_delivery_overdue_seconds{${server}}`]: "300x20",
      [`taskmaster_webhook_delivery_overdue_seconds{${foreign}}`]: "3000x20",
    },
    minutes: 15,
    fires: [],
  },
  {
    alert: "TaskmasterBackupTooOld",
    what: "it is 2 hours 16 minutes old",
    series: { [`taskmaster_backup_last_success_timestamp_seconds{${backups}}`]: "0x200" },
    minutes: 136,
    fires: [{ labels: page, value: "2h 16m 0s" }],
  },
  {
    alert: "TaskmasterBackupTooOld",
    what: "it is 2 hours 10 minutes old",
    series: { [`taskmaster_backup_last_success_timestamp_seconds{${backups}}`]: "0x200" },
    minutes: 130,
    fires: [],
  },
  {
    alert: "TaskmasterBackupMetricsMissing",
    what: "there is no exporter",
    series: { [`up{${server}}`]: "1x20", [reading(server, "backups")]: "1x20" },
    minutes: 16,
    fires: [{ labels: { ...ticket, what: "exporter" } }],
  },
  {
    alert: "TaskmasterBackupMetricsMissing",
    what: "it cannot read the place",
    series: {
      [reading(backups, "backups")]: "0x20",
      [`taskmaster_backup_last_success_timestamp_seconds{${backups}}`]: "0x20",
    },
    minutes: 16,
    fires: [{ labels: { ...ticket, what: "exporter" } }],
  },
  {
    alert: "TaskmasterBackupMetricsMissing",
    what: "two hours after the install there is none",
    series: { [reading(backups, "backups")]: "1x200" },
    minutes: 131,
    fires: [{ labels: { ...ticket, what: "backup" } }],
  },
  {
    alert: "TaskmasterBackupMetricsMissing",
    what: "the first is not due yet",
    series: { [reading(backups, "backups")]: "1x200" },
    minutes: 125,
    fires: [],
  },
  {
    alert: "TaskmasterBackupMetricsMissing",
    what: "the exporter was away for ten minutes",
    series: {
      [reading(backups, "backups")]: "1x10 _x9 1x10",
      [`taskmaster_backup_last_success_timestamp_seconds{${backups}}`]: "0x10 _x9 0x10",
    },
    minutes: 20,
    fires: [],
  },
  {
    alert: "TaskmasterBackupDamaged",
    what: "two cannot be read",
    series: { [`taskmaster_backup_damaged{${backups}}`]: "2x10" },
    minutes: 6,
    fires: [{ labels: ticket, value: "2" }],
  },
  {
    alert: "TaskmasterBackupDamaged",
    what: "all can be read",
    series: { [`taskmaster_backup_damaged{${backups}}`]: "0x10" },
    minutes: 6,
    fires: [],
  },
  {
    alert: "TaskmasterBackupUnproven",
    what: "the last restore was two days and an hour ago",
    series: { [`taskmaster_backup_last_restored_timestamp_seconds{${backups}}`]: "0x3000" },
    minutes: 2_950,
    fires: [{ labels: { ...ticket, what: "old" }, value: "2d 1h 10m 0s" }],
  },
  {
    alert: "TaskmasterBackupUnproven",
    what: "the last restore was two days ago",
    series: { [`taskmaster_backup_last_restored_timestamp_seconds{${backups}}`]: "0x3000" },
    minutes: 2_880,
    fires: [],
  },
  {
    alert: "TaskmasterBackupUnproven",
    what: "for a day there are backups, and no restore",
    series: { [`taskmaster_backup_backups{${backups}}`]: "3x2000" },
    minutes: 1_561,
    fires: [{ labels: { ...ticket, what: "never" } }],
  },
  {
    alert: "TaskmasterBackupUnproven",
    what: "the first drill is not due yet",
    series: { [`taskmaster_backup_backups{${backups}}`]: "3x2000" },
    minutes: 1_550,
    fires: [],
  },
  {
    alert: "TaskmasterBackupUnproven",
    what: "there is nothing that could be proven",
    series: { [`taskmaster_backup_backups{${backups}}`]: "0x2000" },
    minutes: 1_561,
    fires: [],
  },
  {
    alert: "TaskmasterBackupDrillFailed",
    what: "it failed",
    series: { [`taskmaster_backup_drill_success{${backups}}`]: "0x10" },
    minutes: 6,
    fires: [{ labels: ticket }],
  },
  {
    alert: "TaskmasterBackupDrillFailed",
    what: "it succeeded",
    series: { [`taskmaster_backup_drill_success{${backups}}`]: "1x10" },
    minutes: 6,
    fires: [],
  },
];
