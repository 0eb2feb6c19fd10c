{{- define "fanin.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fanin.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fanin.labels" -}}
{{ include "fanin.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "fanin.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s%s" .Chart.AppVersion (ternary "-cuda12" "" .Values.gpu.enabled)) }}
{{- end -}}
{{- end }}

{{- define "fanin.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "fanin.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "fanin.withKeys" -}}
{{- if has .Values.access.mode (list "keys" "keys+jwt") }}true{{ end }}
{{- end }}

{{- define "fanin.withJwt" -}}
{{- if has .Values.access.mode (list "jwt" "keys+jwt") }}true{{ end }}
{{- end }}

{{- /* Fails where pods would have different models under the same names. */ -}}
{{- define "fanin.checkModels" -}}
{{- $pods := ternary .Values.autoscaling.maxReplicas .Values.replicaCount .Values.autoscaling.enabled | int }}
{{- if and .Values.models.uploads (gt $pods 1) (not .Values.models.store) }}
{{- fail (printf "%d pods need models.store, such as s3://bucket/prefix or a directory on a shared volume: without it each pod would have other models under the same names; or set models.uploads=false" $pods) }}
{{- end }}
{{- if and .Values.models.existingClaim (not (hasPrefix "/" .Values.models.store)) }}
{{- fail "models.existingClaim is mounted at models.store, which has to be a directory" }}
{{- end }}
{{- end }}

{{- define "fanin.withBucket" -}}
{{- if hasPrefix "s3://" .Values.models.store }}true{{ end }}
{{- end }}
