variable "name" {
  description = "The Helm release's name, of which all names are made."
  type        = string
  default     = "tasks"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$", var.name))
    error_message = "name is up to 22 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "namespace" {
  description = "The namespace that everything goes into."
  type        = string
  default     = "task-master-pro"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace is a DNS label."
  }
}

variable "create_namespace" {
  description = "Whether to make the namespace, which then enforces the restricted Pod Security Standard. False where it is there already, as it must be where Secrets are made before."
  type        = bool
  default     = false
  nullable    = false
}

variable "chart" {
  description = "The chart. By default the one that lies beside this module, of the same commit; otherwise a path or a name, with the repository and version that it is taken from, such as `oci://ghcr.io/task-master-pro/charts`."
  type = object({
    name       = optional(string)
    repository = optional(string)
    version    = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.chart.repository == null || (var.chart.name != null && var.chart.version != null)
    error_message = "chart.repository needs chart.name and chart.version: what is installed must not change by itself."
  }
}

variable "image" {
  description = "The image; the chart's own by default. A digest wins over the tag. `pull_secrets` are names of Secrets."
  type = object({
    repository   = optional(string)
    tag          = optional(string)
    digest       = optional(string)
    pull_secrets = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.image.digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image.digest))
    error_message = "image.digest is sha256: and 64 hexadecimal digits."
  }
}

variable "host" {
  description = "The host name that clients use, such as tasks.example.com. Null makes no Ingress and leaves links relative."
  type        = string
  default     = null

  validation {
    condition     = var.host == null || can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", var.host))
    error_message = "host is a domain name in small letters, without scheme or path."
  }
}

variable "ingress" {
  description = "How the host is served: the Ingress class (the cluster's default when null), its annotations, and the Secret with the certificate (null where TLS ends before the Ingress, as with a load balancer that has the certificate)."
  type = object({
    class_name  = optional(string)
    annotations = optional(map(string), {})
    tls_secret  = optional(string)
  })
  default  = {}
  nullable = false
}

variable "dns" {
  description = "Who writes the host's DNS record. `external_dns` annotates the Ingress for ExternalDNS, which must be there, with the time to live in seconds. Without it the output `load_balancer` is what the record must point to."
  type = object({
    external_dns = optional(bool, false)
    ttl          = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.dns.ttl >= 1 && var.dns.ttl <= 86400
    error_message = "dns.ttl is from 1 to 86400 seconds."
  }
  validation {
    condition     = !var.dns.external_dns || var.host != null
    error_message = "dns.external_dns needs host: there is no record to write without one."
  }
}

variable "database" {
  description = <<-TEXT
    Where tasks are kept. Exactly one of the two:
    `managed`: a PostgreSQL 15 or newer of your own, by the Secret whose key holds its URL, and its port for the network policy.
    `cloudnative_pg`: a cluster by the CloudNativePG operator, which must be there. With `archive` it archives every change to object storage; `method` is `plugin` (the barman-cloud plugin) or `in-tree`; `credentials_secret` has the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and is null for the pod's role.
  TEXT
  type = object({
    managed = optional(object({
      url_secret = string
      url_key    = optional(string, "url")
      port       = optional(number, 5432)
    }))
    cloudnative_pg = optional(object({
      instances            = optional(number, 3)
      synchronous_standbys = optional(number, 1)
      storage_size         = optional(string, "10Gi")
      storage_class        = optional(string, "")
      parameters           = optional(map(string), {})
      archive = optional(object({
        destination        = string
        method             = optional(string, "plugin")
        endpoint           = optional(string, "")
        credentials_secret = optional(string, "")
        retention          = optional(string, "30d")
      }))
    }))
  })
  nullable = false

  validation {
    condition     = (var.database.managed == null) != (var.database.cloudnative_pg == null)
    error_message = "database is either managed or cloudnative_pg."
  }
  validation {
    condition     = try(var.database.cloudnative_pg.synchronous_standbys < var.database.cloudnative_pg.instances, true)
    error_message = "database.cloudnative_pg.synchronous_standbys must be below instances, or no write is ever acknowledged."
  }
  validation {
    condition     = try(startswith(var.database.cloudnative_pg.archive.destination, "s3://"), true)
    error_message = "database.cloudnative_pg.archive.destination is such as s3://bucket/prefix."
  }
}

variable "backups" {
  description = <<-TEXT
    The bucket that logical backups go to, each proven by a restore; null makes none. `schedule` is a cron expression in UTC: what was written since the last one is what can be lost. `credentials_secret` has the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and is null for the pod's role. `age_recipients` encrypt backups; `age_identity_secret` opens them, for drills.
  TEXT
  type = object({
    bucket              = string
    prefix              = optional(string, "")
    endpoint            = optional(string, "")
    region              = optional(string, "us-east-1")
    credentials_secret  = optional(string)
    schedule            = optional(string, "17 * * * *")
    age_recipients      = optional(list(string), [])
    age_identity_secret = optional(string)
  })
  default = null

  validation {
    condition     = try(length(var.backups.age_recipients) == 0 || var.backups.age_identity_secret != null, true)
    error_message = "backups.age_recipients needs age_identity_secret, or no drill can open a backup to prove it."
  }
}

variable "secrets" {
  description = <<-TEXT
    Names of Secrets that are in the namespace already: no secret is ever a value here, and so none is in the state.
    `session`: its key `session-secret` signs sessions (at least 32 bytes); null lets the chart make one in the cluster, once.
    `redis`: its key `url` is a Redis that shares the rate limits' counts. `sentry`: its key `dsn`. `smoke`: its key `token` is an admin's, for `helm test`.
  TEXT
  type = object({
    session = optional(string)
    redis   = optional(string)
    sentry  = optional(string)
    smoke   = optional(string)
  })
  default  = {}
  nullable = false
}

variable "replicas" {
  description = "How many servers run; an autoscaler where max is above min."
  type = object({
    min = optional(number, 2)
    max = optional(number, 2)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.replicas.min >= 0 && var.replicas.max >= var.replicas.min
    error_message = "replicas.min is at least 0, and replicas.max at least replicas.min."
  }
}

variable "settings" {
  description = "Settings of the server by their environment variables, as `task-master-pro config` lists them. What is secret does not belong here but into a Secret, by `extra_values` and the chart's `extraEnv`."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = length(setintersection(keys(var.settings), [
      "DATABASE_URL", "REDIS_URL", "SENTRY_DSN", "TASKMASTER_SESSION_SECRET", "TASKMASTER_SESSION_PRIVATE_KEY",
      "TASKMASTER_LLM_API_KEY", "TASKMASTER_MCP_TOKEN", "TASKMASTER_TOKEN", "TASKMASTER_BACKUP_DRILL_DATABASE_URL",
      "OTEL_EXPORTER_OTLP_HEADERS",
    ])) == 0
    error_message = "settings must hold no secret, which would be in the state: name a Secret instead (database, secrets, or extraEnv by extra_values)."
  }
}

variable "service_account_annotations" {
  description = "Annotations of the pods' ServiceAccount, such as the cloud role that may write the backups."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "metrics" {
  description = "With `enabled`, the Prometheus operator, which must be there, scrapes the servers from the namespace, and has the chart's alerts."
  type = object({
    enabled              = optional(bool, false)
    prometheus_namespace = optional(string, "monitoring")
    labels               = optional(map(string), {})
  })
  default  = {}
  nullable = false
}

variable "extra_values" {
  description = "More values of the chart, each a YAML document. The later wins, and all of them over what this module says."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for document in var.extra_values : can(yamldecode(document))])
    error_message = "extra_values are YAML documents."
  }
}

variable "timeout_seconds" {
  description = "The longest that an install or upgrade may take until every server is ready; then it is taken back."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 60
    error_message = "timeout_seconds is at least 60."
  }
}
