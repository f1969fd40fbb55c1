locals {
  allowed_ids = [for entry in var.entra_allowed : lower(reverse(split(":", entry))[0])]
  # Never empty: an app without a list of callers would lend its identity to anyone.
  allowed = contains(local.allowed_ids, lower(local.deployer)) ? var.entra_allowed : concat(["deployer:${local.deployer}"], var.entra_allowed)

  shared_env   = [for name, value in local.settings.env : { name = name, value = value }]
  url_env      = [for i, url in local.endpoints : { name = "BACKEND_${i + 1}_URL", value = url }]
  priority_env = [for i, priority in var.openai_priorities : { name = "BACKEND_${i + 1}_PRIORITY", value = tostring(priority) }]
  key_env      = [for i, uri in var.openai_key_secret_uris : { name = "BACKEND_${i + 1}_APIKEY", secretRef = "backend-${i + 1}-apikey" } if uri != ""]
  client_env   = var.client_keys_secret_uri == "" ? [] : [{ name = "LB_CLIENT_KEYS", secretRef = "client-keys" }]
  config_env   = var.config_secret_uri == "" ? [] : [{ name = "LB_CONFIG_INLINE", secretRef = "config" }]
  redis_env    = var.redis_url == "" ? [] : [{ name = "LB_REDIS_URL", value = var.redis_url }, { name = "LB_REDIS_ENTRA", value = "true" }]

  traces_env = var.traces_share == null ? [] : [
    { name = "APPLICATIONINSIGHTS_CONNECTION_STRING", value = azapi_resource.insights.output.properties.ConnectionString },
    { name = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING", value = "Authorization=AAD" },
    { name = "OTEL_TRACES_SAMPLER", value = "parentbased_traceidratio" },
    { name = "OTEL_TRACES_SAMPLER_ARG", value = tostring(var.traces_share) },
  ]

  key_secrets    = [for i, uri in var.openai_key_secret_uris : { name = "backend-${i + 1}-apikey", keyVaultUrl = uri, identity = azapi_resource.identity.id } if uri != ""]
  client_secrets = var.client_keys_secret_uri == "" ? [] : [{ name = "client-keys", keyVaultUrl = var.client_keys_secret_uri, identity = azapi_resource.identity.id }]
  config_secrets = var.config_secret_uri == "" ? [] : [{ name = "config", keyVaultUrl = var.config_secret_uri, identity = azapi_resource.identity.id }]
}

resource "azapi_resource" "web" {
  count     = var.image == "" ? 0 : 1
  type      = "Microsoft.App/containerApps@2026-01-01"
  parent_id = azapi_resource.group.id
  name      = local.app_name
  location  = var.location
  tags      = merge(local.tags, { "azd-service-name" = "web" })

  identity {
    type         = "UserAssigned"
    identity_ids = [azapi_resource.identity.id]
  }

  body = {
    properties = {
      environmentId       = azapi_resource.environment.id
      workloadProfileName = "Consumption"
      configuration = {
        activeRevisionsMode  = "Single"
        maxInactiveRevisions = 3
        ingress = {
          external      = true
          targetPort    = local.settings.ports.traffic
          transport     = "http"
          allowInsecure = false
        }
        registries = [
          {
            server   = azapi_resource.registry.output.properties.loginServer
            identity = azapi_resource.identity.id
          },
        ]
        secrets = concat(local.key_secrets, local.client_secrets, local.config_secrets)
      }
      template = {
        terminationGracePeriodSeconds = local.settings.terminationGracePeriodSeconds
        containers = [
          {
            name  = "lb"
            image = var.image
            resources = {
              cpu    = local.settings.resources.cpu
              memory = local.settings.resources.memory
            }
            env = concat(
              [
                { name = "AZURE_CLIENT_ID", value = azapi_resource.identity.output.properties.clientId },
                { name = "AZURE_TOKEN_CREDENTIALS", value = "ManagedIdentityCredential" },
                { name = "LB_ENTRA_TENANT_ID", value = data.azapi_client_config.current.tenant_id },
                { name = "LB_ENTRA_ALLOWED", value = join(",", local.allowed) },
              ],
              local.shared_env,
              local.url_env,
              local.priority_env,
              local.key_env,
              local.client_env,
              local.config_env,
              local.redis_env,
              local.traces_env,
            )
            probes = [
              {
                type             = "Startup"
                httpGet          = { path = local.settings.probes.startup.path, port = local.settings.ports.traffic }
                periodSeconds    = local.settings.probes.startup.periodSeconds
                timeoutSeconds   = local.settings.probes.startup.timeoutSeconds
                failureThreshold = local.settings.probes.startup.failureThreshold
              },
              {
                type             = "Liveness"
                httpGet          = { path = local.settings.probes.liveness.path, port = local.settings.ports.traffic }
                periodSeconds    = local.settings.probes.liveness.periodSeconds
                timeoutSeconds   = local.settings.probes.liveness.timeoutSeconds
                failureThreshold = local.settings.probes.liveness.failureThreshold
              },
              {
                type             = "Readiness"
                httpGet          = { path = local.settings.probes.readiness.path, port = local.settings.ports.traffic }
                periodSeconds    = local.settings.probes.readiness.periodSeconds
                timeoutSeconds   = local.settings.probes.readiness.timeoutSeconds
                failureThreshold = local.settings.probes.readiness.failureThreshold
              },
            ]
          },
        ]
        scale = {
          minReplicas = max(1, coalesce(var.min_replicas, local.settings.scale.minReplicas))
          maxReplicas = coalesce(var.max_replicas, local.settings.scale.maxReplicas)
          rules = [
            {
              name = "concurrent-requests"
              http = {
                metadata = { concurrentRequests = tostring(local.settings.scale.concurrentRequests) }
              }
            },
          ]
        }
      }
    }
  }

  depends_on = [azapi_resource.pull, azapi_resource.caller, azapi_resource.deployment, azapi_resource.reader]
}
