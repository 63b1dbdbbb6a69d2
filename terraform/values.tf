locals {
  cloudnative_pg = var.database.cloudnative_pg
  autoscaled     = var.replicas.max > var.replicas.min

  database = local.cloudnative_pg == null ? {
    mode = "external"
    external = {
      existingSecret = var.database.managed.url_secret
      urlKey         = var.database.managed.url_key
      port           = var.database.managed.port
    }
    cloudnativePg = null
    } : {
    mode     = "cloudnative-pg"
    external = null
    cloudnativePg = {
      instances           = local.cloudnative_pg.instances
      synchronousStandbys = local.cloudnative_pg.synchronous_standbys
      storage = {
        size             = local.cloudnative_pg.storage_size
        storageClassName = local.cloudnative_pg.storage_class
      }
      parameters = local.cloudnative_pg.parameters
      archive = local.cloudnative_pg.archive == null ? null : {
        enabled         = true
        method          = local.cloudnative_pg.archive.method
        destinationPath = local.cloudnative_pg.archive.destination
        endpointURL     = local.cloudnative_pg.archive.endpoint
        existingSecret  = local.cloudnative_pg.archive.credentials_secret
        retentionPolicy = local.cloudnative_pg.archive.retention
      }
    }
  }

  external_dns = var.dns.external_dns ? {
    "external-dns.alpha.kubernetes.io/hostname" = var.host
    "external-dns.alpha.kubernetes.io/ttl"      = tostring(var.dns.ttl)
  } : {}

  # The chart's values, by its names.
  values = {
    image = {
      repository  = var.image.repository
      tag         = var.image.tag
      digest      = var.image.digest
      pullSecrets = [for name in var.image.pull_secrets : { name = name }]
    }
    replicaCount = var.replicas.min
    autoscaling = local.autoscaled ? {
      enabled     = true
      minReplicas = var.replicas.min
      maxReplicas = var.replicas.max
    } : null
    config = merge(
      var.host == null ? {} : { TASKMASTER_PUBLIC_URL = "https://${var.host}" },
      var.settings,
    )
    database = local.database
    session  = { existingSecret = var.secrets.session }
    redis    = { existingSecret = var.secrets.redis }
    errors   = { sentry = { existingSecret = var.secrets.sentry } }
    tests    = { existingSecret = var.secrets.smoke }
    ingress = var.host == null ? null : {
      enabled     = true
      className   = var.ingress.class_name
      annotations = merge(local.external_dns, var.ingress.annotations)
      hosts       = [var.host]
      tls         = var.ingress.tls_secret == null ? [] : [{ hosts = [var.host], secretName = var.ingress.tls_secret }]
    }
    backup = var.backups == null ? null : {
      enabled           = true
      schedule          = var.backups.schedule
      ageRecipients     = var.backups.age_recipients
      ageIdentitySecret = var.backups.age_identity_secret
      s3 = {
        bucket         = var.backups.bucket
        prefix         = var.backups.prefix
        endpoint       = var.backups.endpoint
        region         = var.backups.region
        existingSecret = var.backups.credentials_secret
      }
    }
    serviceAccount = { annotations = var.service_account_annotations }
    metrics = var.metrics.enabled ? {
      serviceMonitor = { enabled = true, labels = var.metrics.labels }
      prometheusRule = { enabled = true, labels = var.metrics.labels }
    } : null
    networkPolicy = var.metrics.enabled ? {
      metricsFrom = [
        { namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = var.metrics.prometheus_namespace } } },
      ]
    } : null
  }

  # Without what is null, three levels deep: a null would take the chart's own default away. keys() fails for what is no map.
  given = {
    for key, value in local.values : key => try({
      for name in keys(value) : name => try({
        for part in keys(value[name]) : part => value[name][part] if value[name][part] != null
      }, value[name]) if value[name] != null
    }, value) if value != null
  }
}
