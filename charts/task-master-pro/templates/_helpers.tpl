{{/* Names. They leave room for the suffixes: a CronJob's name has at most 52 characters. */}}
{{- define "taskmaster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 38 | trimSuffix "-" }}
{{- end }}

{{- define "taskmaster.fullname" -}}
{{- $name := include "taskmaster.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 38 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 38 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "taskmaster.selector" -}}
app.kubernetes.io/name: {{ include "taskmaster.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Takes (list $ COMPONENT). */}}
{{- define "taskmaster.componentSelector" -}}
{{ include "taskmaster.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Takes (list $ COMPONENT). */}}
{{- define "taskmaster.labels" -}}
{{- $ := index . 0 -}}
{{ include "taskmaster.componentSelector" . }}
app.kubernetes.io/part-of: task-master-pro
app.kubernetes.io/managed-by: {{ $.Release.Service }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name ($.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "taskmaster.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "taskmaster.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "taskmaster.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* A number of a values file is a float; as text it must not become 1.6777216e+07. */}}
{{- define "taskmaster.text" -}}
{{- if kindIs "float64" . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* What the servers are configured with: all that is not secret. */}}
{{- define "taskmaster.config" -}}
{{- range $name, $value := .Values.config }}
{{ $name }}: {{ include "taskmaster.text" $value | quote }}
{{- end }}
{{- end }}

{{/* By content, so that an older pod template still finds the configuration that it was made with. */}}
{{- define "taskmaster.configName" -}}
{{- printf "%s-%s" (include "taskmaster.fullname" .) (include "taskmaster.config" . | sha256sum | trunc 10) }}
{{- end }}

{{- define "taskmaster.sessionSecretName" -}}
{{- default (printf "%s-session" (include "taskmaster.fullname" .)) .Values.session.existingSecret }}
{{- end }}

{{- define "taskmaster.databaseName" -}}
{{- printf "%s-db" (include "taskmaster.fullname" .) }}
{{- end }}

{{- define "taskmaster.bundledSecretName" -}}
{{- default (include "taskmaster.databaseName" .) .Values.database.bundled.existingSecret }}
{{- end }}

{{/* Whether another region takes the writes: not text is no. */}}
{{- define "taskmaster.standby" -}}
{{- with .Values.database.cloudnativePg.region }}
{{- if and .name (ne .name .primary) }}true{{ end }}
{{- end }}
{{- end }}

{{/* Where DATABASE_URL comes from. */}}
{{- define "taskmaster.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      {{- if eq .Values.database.mode "external" }}
      name: {{ required "database.external.existingSecret is needed: the name of a Secret with the URL of your PostgreSQL (or choose another database.mode)" .Values.database.external.existingSecret }}
      key: {{ .Values.database.external.urlKey }}
      {{- else if eq .Values.database.mode "bundled" }}
      name: {{ include "taskmaster.bundledSecretName" . }}
      key: url
      {{- else }}
      name: {{ default (printf "%s-app" (include "taskmaster.databaseName" .)) .Values.database.cloudnativePg.existingSecret }}
      key: uri
      {{- end }}
{{- end }}

{{- define "taskmaster.migrationMode" -}}
{{- default (ternary "hook" "job" (eq .Values.database.mode "external")) .Values.migrations.mode }}
{{- end }}

{{/* What every pod of ours has. */}}
{{- define "taskmaster.podSettings" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "taskmaster.containerSettings" -}}
image: {{ include "taskmaster.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities: { drop: [ALL] }
{{- end }}
