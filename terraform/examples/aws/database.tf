# PostgreSQL 17 in two zones. Its password is made once, written to the database and to Secrets Manager, and kept nowhere else.
ephemeral "aws_secretsmanager_random_password" "database" {
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_db_subnet_group" "database" {
  name       = var.name
  subnet_ids = data.aws_eks_cluster.this.vpc_config[0].subnet_ids
}

resource "aws_security_group" "database" {
  name        = "${var.name}-database"
  description = "The database of Task Master Pro: from the cluster's nodes and pods only"
  vpc_id      = data.aws_eks_cluster.this.vpc_config[0].vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from the cluster"
  referenced_security_group_id = data.aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_db_parameter_group" "database" {
  name   = var.name
  family = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name  = "log_statement"
    value = "ddl"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
}

resource "aws_db_instance" "database" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.instance_class

  db_name             = "taskmaster"
  username            = "taskmaster"
  password_wo         = ephemeral.aws_secretsmanager_random_password.database.random_password
  password_wo_version = var.password_version

  allocated_storage     = 20
  max_allocated_storage = 200
  storage_type          = "gp3"
  storage_encrypted     = true

  multi_az               = true
  db_subnet_group_name   = aws_db_subnet_group.database.name
  vpc_security_group_ids = [aws_security_group.database.id]
  parameter_group_name   = aws_db_parameter_group.database.name
  publicly_accessible    = false

  backup_retention_period    = 14
  copy_tags_to_snapshot      = true
  deletion_protection        = true
  final_snapshot_identifier  = "${var.name}-final"
  auto_minor_version_upgrade = true

  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  performance_insights_enabled    = true
}

resource "aws_secretsmanager_secret" "database" {
  name        = "${var.namespace}/${var.name}/database"
  description = "The URL of the database of Task Master Pro"
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id = aws_secretsmanager_secret.database.id
  # Encrypted, and not verified: the authority that signs RDS's certificates is not one that the image trusts.
  secret_string_wo = jsonencode({ url = join("", [
    "postgres://taskmaster:", ephemeral.aws_secretsmanager_random_password.database.random_password,
    "@", aws_db_instance.database.endpoint, "/taskmaster?sslmode=no-verify",
  ]) })
  secret_string_wo_version = var.password_version
}
