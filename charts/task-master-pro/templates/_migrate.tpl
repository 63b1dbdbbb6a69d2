{{/* The pod of the migration Job. */}}
{{- define "taskmaster.migratePod" -}}
metadata:
  labels:
    {{- include "taskmaster.componentSelector" (list . "migrate") | nindent 4 }}
spec:
  {{- include "taskmaster.podSettings" . | nindent 2 }}
  restartPolicy: Never
  {{- if ne .Values.database.mode "external" }}
  # The database starts beside this Job.
  initContainers:
    - name: wait
      {{- include "taskmaster.containerSettings" . | nindent 6 }}
      command: [node, --input-type=module, --eval]
      args:
        - {{ .Files.Get "files/wait-for-database.mjs" | quote }}
      env:
        {{- include "taskmaster.databaseEnv" . | nindent 8 }}
      resources:
        {{- toYaml .Values.migrations.resources | nindent 8 }}
  {{- end }}
  containers:
    - name: migrate
      {{- include "taskmaster.containerSettings" . | nindent 6 }}
      args:
        - migrate
        - up
        - --wait={{ int .Values.migrations.waitSeconds }}
        {{- if .Values.migrations.allowContract }}
        - --allow-contract
        {{- end }}
        {{- if .Values.migrations.allowDataLoss }}
        - --allow-data-loss
        {{- end }}
      env:
        {{- include "taskmaster.databaseEnv" . | nindent 8 }}
      resources:
        {{- toYaml .Values.migrations.resources | nindent 8 }}
      volumeMounts:
        - { name: tmp, mountPath: /tmp }
  volumes:
    - name: tmp
      emptyDir: { sizeLimit: 64Mi }
{{- end }}
