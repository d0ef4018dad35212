{{/* name of a component: RELEASE-NAME */}}
{{- define "sluice.name" -}}
{{- printf "%s-%s" .root.Release.Name .name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.labels" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{/* The five components. image and module are names in this project; callers may connect. */}}
{{- define "sluice.components" -}}
upload: {image: upload, module: services.upload, port: 50051, values: upload, callers: [gateway, status]}
validation: {image: validation, module: services.validation, port: 50052, values: validation, callers: [gateway, status]}
druid-gateway: {image: druid_gateway, module: services.druid_gateway, port: 50053, values: druidGateway, callers: [gateway, status]}
status: {image: status, module: services.status, port: 50054, values: status, callers: [gateway, upload]}
gateway: {image: gateway, module: gateway, port: 8000, values: gateway, callers: []}
{{- end -}}

{{- define "sluice.image" -}}
{{ .root.Values.image.repository }}/{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* environment of a component: only the variables that it needs */}}
{{- define "sluice.env" -}}
- {name: AUTH_MODE, value: open}
- {name: LOG_LEVEL, value: {{ .root.Values.logLevel | quote }}}
{{- range $peer, $port := dict "upload" 50051 "validation" 50052 "druid-gateway" 50053 "status" 50054 }}
- name: {{ $peer | replace "-" "_" | upper }}_ADDR
  value: {{ printf "%s:%d" (include "sluice.name" (dict "root" $.root "name" $peer)) (int $port) | quote }}
{{- end }}
{{- if has .name (list "upload" "validation") }}
{{- with .root.Values.s3 }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .accessKeyIdKey | quote }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .secretAccessKeyKey | quote }}}}
- {name: AWS_DEFAULT_REGION, value: {{ .region | quote }}}
- {name: S3_BUCKET_NAME, value: {{ .bucket | quote }}}
{{- if .endpoint }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ .endpoint | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .name "upload" }}
- {name: TRUSTED_GATEWAYS, value: {{ include "sluice.name" (dict "root" .root "name" "gateway-pods") | quote }}}
{{- end }}
{{- if eq .name "validation" }}
- {name: SPOOL_DIR, value: /spool}
- {name: SPOOL_MAX_BYTES, value: {{ mul (int .root.Values.validation.spoolGi) 966367641 | quote }}}
{{- end }}
{{- if eq .name "status" }}
- name: DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .root.Values.postgresql.existingSecret | quote }}, key: {{ .root.Values.postgresql.urlKey | quote }}}}
{{- end }}
{{- if eq .name "druid-gateway" }}
- {name: DRUID_URL, value: {{ .root.Values.druid.url | quote }}}
- {name: DRUID_INPUT, value: s3}
{{- end }}
{{- if eq .name "gateway" }}
- name: ALLOWED_HOSTS
  value: {{ list "localhost" "127.0.0.1" (include "sluice.name" .) .root.Values.ingress.host | compact | join "," | quote }}
{{- with .root.Values.ingress.trustedProxies }}
- {name: TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
{{- range $name, $value := .env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}
