# What the module makes of its variables, without a cluster: the providers are mocked.
mock_provider "helm" {}
mock_provider "kubernetes" {}

variables {
  database = { managed = { url_secret = "tasks-database" } }
}

run "nothing_but_a_database" {
  command = plan

  assert {
    condition     = length(kubernetes_namespace_v1.this) == 0 && length(data.kubernetes_ingress_v1.this) == 0
    error_message = "A namespace or an Ingress is made that nobody asked for."
  }
  assert {
    condition = jsonencode(output.values.database) == jsonencode({
      mode     = "external"
      external = { existingSecret = "tasks-database", urlKey = "url", port = 5432 }
    })
    error_message = "The managed database is not what the chart calls external."
  }
  # A null would take the chart's own default away.
  assert {
    condition     = !strcontains(helm_release.this.values[0], "null")
    error_message = "A value is null: ${helm_release.this.values[0]}"
  }
  assert {
    condition     = length(setintersection(keys(output.values), ["ingress", "backup", "autoscaling", "metrics", "networkPolicy"])) == 0
    error_message = "Values that nobody gave must be left to the chart."
  }
  assert {
    condition     = helm_release.this.atomic && helm_release.this.chart == "./../charts/task-master-pro"
    error_message = "A release that fails must be taken back, and the chart is the one beside the module."
  }
}

run "everything" {
  command = plan

  variables {
    name             = "blue"
    create_namespace = true
    namespace        = "tasks"
    host             = "tasks.example.com"
    chart            = { name = "task-master-pro", repository = "oci://ghcr.io/task-master-pro/charts", version = "1.2.3" }
    image            = { digest = "sha256:${sha256("x")}", pull_secrets = ["registry"] }
    ingress          = { class_name = "nginx", tls_secret = "tls", annotations = { "cert-manager.io/cluster-issuer" = "le" } }
    dns              = { external_dns = true, ttl = 30 }
    database = {
      cloudnative_pg = {
        instances = 5, synchronous_standbys = 2, storage_size = "50Gi"
        archive   = { destination = "s3://bucket/archive", credentials_secret = "s3" }
      }
    }
    backups                     = { bucket = "bucket", prefix = "backups", age_recipients = ["age1qqqq"], age_identity_secret = "age" }
    secrets                     = { session = "session", redis = "redis", sentry = "sentry", smoke = "smoke" }
    replicas                    = { min = 3, max = 12 }
    settings                    = { LOG_LEVEL = "warn" }
    service_account_annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::1:role/tasks" }
    metrics                     = { enabled = true, labels = { release = "prometheus" } }
    extra_values                = ["priorityClassName: high"]
  }

  assert {
    condition     = kubernetes_namespace_v1.this[0].metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "The namespace does not enforce the restricted standard."
  }
  assert {
    condition = jsonencode(yamldecode(helm_release.this.values[0]).database.cloudnativePg) == jsonencode({
      instances           = 5
      synchronousStandbys = 2
      storage             = { size = "50Gi", storageClassName = "" }
      parameters          = {}
      archive = {
        enabled         = true
        method          = "plugin"
        destinationPath = "s3://bucket/archive"
        endpointURL     = ""
        existingSecret  = "s3"
        retentionPolicy = "30d"
      }
    })
    error_message = "CloudNativePG is not as it was said."
  }
  assert {
    condition = jsonencode(output.values.ingress) == jsonencode({
      enabled   = true
      className = "nginx"
      hosts     = ["tasks.example.com"]
      tls       = [{ hosts = ["tasks.example.com"], secretName = "tls" }]
      annotations = {
        "cert-manager.io/cluster-issuer"            = "le"
        "external-dns.alpha.kubernetes.io/hostname" = "tasks.example.com"
        "external-dns.alpha.kubernetes.io/ttl"      = "30"
      }
    })
    error_message = "The Ingress is not as it was said."
  }
  assert {
    condition = (
      jsonencode(output.values.config) == jsonencode({ TASKMASTER_PUBLIC_URL = "https://tasks.example.com", LOG_LEVEL = "warn" })
      && jsonencode(output.values.autoscaling) == jsonencode({ enabled = true, minReplicas = 3, maxReplicas = 12 })
      && output.values.errors.sentry.existingSecret == "sentry"
      && jsonencode(output.values.backup.s3) == jsonencode({ bucket = "bucket", prefix = "backups", endpoint = "", region = "us-east-1" })
      && output.values.metrics.prometheusRule.labels.release == "prometheus"
    )
    error_message = "Settings, the autoscaler, Sentry, the bucket or metrics are not as they were said."
  }
  assert {
    condition     = helm_release.this.values[1] == "priorityClassName: high" && output.deployment == "blue-task-master-pro"
    error_message = "Values of one's own are not the last ones, or the name is not the chart's."
  }
}

run "two_databases" {
  command = plan
  variables {
    database = { managed = { url_secret = "a" }, cloudnative_pg = {} }
  }
  expect_failures = [var.database]
}

run "no_database" {
  command = plan
  variables {
    database = {}
  }
  expect_failures = [var.database]
}

run "standbys_that_are_not_there" {
  command = plan
  variables {
    database = { cloudnative_pg = { instances = 1 } }
  }
  expect_failures = [var.database]
}

run "a_secret_as_a_setting" {
  command = plan
  variables {
    settings = { TASKMASTER_SESSION_SECRET = "x" }
  }
  expect_failures = [var.settings]
}

run "a_chart_that_changes_by_itself" {
  command = plan
  variables {
    chart = { name = "task-master-pro", repository = "oci://ghcr.io/task-master-pro/charts" }
  }
  expect_failures = [var.chart]
}

run "backups_that_no_drill_can_open" {
  command = plan
  variables {
    backups = { bucket = "bucket", age_recipients = ["age1qqqq"] }
  }
  expect_failures = [var.backups]
}

run "a_record_without_a_name" {
  command = plan
  variables {
    dns = { external_dns = true }
  }
  expect_failures = [var.dns]
}

run "a_url_as_a_host" {
  command = plan
  variables {
    host = "https://tasks.example.com"
  }
  expect_failures = [var.host]
}
