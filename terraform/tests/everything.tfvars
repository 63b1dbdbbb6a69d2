# Everything that can be said, for what the chart makes of it (service/test/terraform.sh).
host     = "tasks.example.com"
ingress  = { class_name = "nginx", tls_secret = "tls", annotations = { "cert-manager.io/cluster-issuer" = "le" } }
dns      = { external_dns = true }
database = { cloudnative_pg = { archive = { destination = "s3://bucket/archive" } } }
backups  = { bucket = "bucket", age_recipients = ["age1qqqq"], age_identity_secret = "age", credentials_secret = "s3" }
secrets  = { session = "session", redis = "redis", sentry = "sentry", smoke = "smoke" }
replicas = { min = 3, max = 12 }
settings = { LOG_LEVEL = "warn" }
metrics  = { enabled = true, labels = { release = "prometheus" } }

service_account_annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::1:role/tasks" }
