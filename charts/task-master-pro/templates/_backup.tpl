{{/* Settings of the backup commands. */}}
{{- define "taskmaster.backupEnv" -}}
{{- include "taskmaster.databaseEnv" . }}
- name: TASKMASTER_BACKUP_SCRATCH_DIRECTORY
  value: /scratch
{{ include "taskmaster.backupTargetEnv" . }}
{{- with .Values.backup.ageRecipients }}
- name: TASKMASTER_BACKUP_AGE_RECIPIENTS
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}

{{/* Where backups are. */}}
{{- define "taskmaster.backupTargetEnv" -}}
- name: TASKMASTER_BACKUP_TARGET
  {{- if .Values.backup.volume.enabled }}
  value: /backups
  {{- else }}
  value: s3://{{ .Values.backup.s3.bucket }}{{ with .Values.backup.s3.prefix }}/{{ . }}{{ end }}
- name: AWS_REGION
  value: {{ .Values.backup.s3.region }}
  {{- with .Values.backup.s3.endpoint }}
- name: TASKMASTER_BACKUP_S3_ENDPOINT
  value: {{ . }}
  {{- end }}
  {{- with .Values.backup.s3.existingSecret }}
  {{- $secret := . }}
  {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: { name: {{ $secret }}, key: {{ . }} }
  {{- end }}
  {{- end }}
  {{- end }}
{{- end }}

{{/*
Whether something serves the backups' metrics: not text is no. A volume for one node at a time is for the Jobs: whoever held it all the
while would keep them off every other node.
*/}}
{{- define "taskmaster.backupExporter" -}}
{{- if and .Values.metrics.enabled .Values.backup.enabled (not (include "taskmaster.standby" .)) (or .Values.backup.s3.bucket (has "ReadWriteMany" .Values.backup.volume.accessModes)) -}}
true
{{- end }}
{{- end }}

{{/* What is the same in the spec of the two CronJobs that are not suspended. Takes (dict "root" $ "schedule" …). */}}
{{- define "taskmaster.cronSettings" -}}
{{- if include "taskmaster.standby" .root }}
# A standby's database can only be read.
suspend: true
{{- end }}
schedule: {{ .schedule | quote }}
timeZone: {{ .root.Values.backup.timeZone }}
concurrencyPolicy: Forbid
# Late is better than never.
startingDeadlineSeconds: 1800
successfulJobsHistoryLimit: 3
failedJobsHistoryLimit: 3
{{- end }}

{{- define "taskmaster.backupPod" -}}
{{- include "taskmaster.podSettings" . }}
serviceAccountName: {{ include "taskmaster.serviceAccountName" . }}
restartPolicy: Never
{{- end }}

{{- define "taskmaster.backupVolumes" -}}
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
- name: scratch
  emptyDir: { sizeLimit: {{ .Values.backup.scratchSize }} }
{{- include "taskmaster.backupPlace" . }}
{{- end }}

{{- define "taskmaster.backupPlace" -}}
{{- if .Values.backup.volume.enabled }}
- name: backups
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-backups" (include "taskmaster.fullname" .)) .Values.backup.volume.existingClaim }}
{{- end }}
{{- end }}

{{/* What opens encrypted backups. */}}
{{- define "taskmaster.identityEnv" -}}
{{- if .Values.backup.ageIdentitySecret }}
- name: TASKMASTER_BACKUP_AGE_IDENTITY_FILE
  value: /age/identity
{{- end }}
{{- end }}

{{- define "taskmaster.identityMount" -}}
{{- if .Values.backup.ageIdentitySecret }}
- { name: age, mountPath: /age, readOnly: true }
{{- end }}
{{- end }}

{{- define "taskmaster.identityVolume" -}}
{{- with .Values.backup.ageIdentitySecret }}
- name: age
  secret: { secretName: {{ . }} }
{{- end }}
{{- end }}

{{- define "taskmaster.backupMounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: scratch, mountPath: /scratch }
{{- if .Values.backup.volume.enabled }}
- { name: backups, mountPath: /backups }
{{- end }}
{{- end }}
