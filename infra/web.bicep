// The container app. azd deploys this file in its deploy step, after the image was built, because it is called
// infra/<service>.bicep; main.bicep uses it as a module when it is given a published image.
// Every parameter is text: azd fills them from the environment without converting them.

@description('Name of the container app.')
param name string
param location string = resourceGroup().location
param environmentName string
param containerEnvironmentName string
param registryName string
param identityName string

@description('SERVICE_WEB_IMAGE_NAME, set by azd after the build.')
@minLength(1)
param image string

@description('Comma list of Azure OpenAI endpoints: BACKEND_1_URL, BACKEND_2_URL, ...')
@minLength(1)
param endpoints string

@description('OPENAI_PRIORITIES: comma list in the order of the endpoints; lower is preferred. Empty: all 1.')
param priorities string = ''

@description('OPENAI_KEY_SECRET_URIS: comma list of key vault secret identifiers in the order of the endpoints. An empty place, or none at all: managed identity.')
param keySecretUris string = ''

@description('CLIENT_KEYS_SECRET_URI: key vault secret identifier whose value is LB_CLIENT_KEYS. Empty: Entra callers only.')
param clientKeysSecretUri string = ''

@description('CONFIG_SECRET_URI: key vault secret identifier whose value is LB_CONFIG_INLINE: tenants, and whatever else the file says. Empty: none.')
param configSecretUri string = ''

@description('REDIS_URL: rediss://name.region.redis.azure.net:10000, reached with the app\'s identity; replicas share budgets and cooldowns by it. Empty: none.')
param redisUrl string = ''

@description('TRACES_SHARE: share of the requests whose traces go to Application Insights, such as 0.1. Empty: none.')
param tracesShare string = ''
param insightsName string = ''

@description('Who deploys: always on the list of allowed callers, so that the list is never empty.')
param principalId string = ''

@description('LB_ENTRA_ALLOWED: comma list of object or application ids that may call, each `id` or `name:id`.')
param entraAllowed string = ''

@description('MIN_REPLICAS and MAX_REPLICAS; empty: as in settings.yaml.')
param minReplicas string = ''
param maxReplicas string = ''

var settings = loadYamlContent('settings.yaml')
var urls = split(replace(endpoints, ' ', ''), ',')
var priorityList = empty(priorities) ? [] : split(replace(priorities, ' ', ''), ',')
var keyUris = empty(keySecretUris) ? [] : split(replace(keySecretUris, ' ', ''), ',')
var keyPlaces = filter(range(0, length(keyUris)), i => !empty(keyUris[i]))

var sharedEnv = map(items(settings.env), setting => { name: setting.key, value: setting.value })
var urlEnv = [for (url, i) in urls: { name: 'BACKEND_${i + 1}_URL', value: url }]
var priorityEnv = [for (priority, i) in priorityList: { name: 'BACKEND_${i + 1}_PRIORITY', value: priority }]
var keyEnv = [for i in keyPlaces: { name: 'BACKEND_${i + 1}_APIKEY', secretRef: 'backend-${i + 1}-apikey' }]
var keySecrets = [for i in keyPlaces: { name: 'backend-${i + 1}-apikey', keyVaultUrl: keyUris[i], identity: identity.id }]
var clientKeyEnv = empty(clientKeysSecretUri) ? [] : [{ name: 'LB_CLIENT_KEYS', secretRef: 'client-keys' }]
var clientKeySecrets = empty(clientKeysSecretUri) ? [] : [{ name: 'client-keys', keyVaultUrl: clientKeysSecretUri, identity: identity.id }]
var configEnv = empty(configSecretUri) ? [] : [{ name: 'LB_CONFIG_INLINE', secretRef: 'config' }]
var configSecrets = empty(configSecretUri) ? [] : [{ name: 'config', keyVaultUrl: configSecretUri, identity: identity.id }]
var redisEnv = empty(redisUrl) ? [] : [{ name: 'LB_REDIS_URL', value: redisUrl }, { name: 'LB_REDIS_ENTRA', value: 'true' }]

var tracesEnv = empty(tracesShare) ? [] : [
  { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: insights!.properties.ConnectionString }
  { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'Authorization=AAD' }
  { name: 'OTEL_TRACES_SAMPLER', value: 'parentbased_traceidratio' }
  { name: 'OTEL_TRACES_SAMPLER_ARG', value: tracesShare }
]

// Never empty: an app without a list of callers would lend its identity to anyone.
var deployer = empty(principalId) ? az.deployer().objectId : principalId
var listed = contains(toLower(entraAllowed), toLower(deployer))
var allowed = listed ? entraAllowed : empty(entraAllowed) ? 'deployer:${deployer}' : 'deployer:${deployer},${entraAllowed}'

resource containerEnvironment 'Microsoft.App/managedEnvironments@2026-01-01' existing = {
  name: containerEnvironmentName
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = if (!empty(tracesShare)) {
  name: insightsName
}

resource app 'Microsoft.App/containerApps@2026-01-01' = {
  name: name
  location: location
  tags: { 'azd-env-name': environmentName, 'azd-service-name': 'web' }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: containerEnvironment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 3
      ingress: {
        external: true
        targetPort: settings.ports.traffic
        transport: 'http'
        allowInsecure: false
      }
      registries: [
        {
          server: registry.properties.loginServer
          identity: identity.id
        }
      ]
      secrets: concat(keySecrets, clientKeySecrets, configSecrets)
    }
    template: {
      terminationGracePeriodSeconds: settings.terminationGracePeriodSeconds
      containers: [
        {
          name: 'lb'
          image: image
          resources: {
            cpu: settings.resources.cpu
            memory: settings.resources.memory
          }
          env: concat(
            [
              { name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }
              { name: 'AZURE_TOKEN_CREDENTIALS', value: 'ManagedIdentityCredential' }
              { name: 'LB_ENTRA_TENANT_ID', value: tenant().tenantId }
              { name: 'LB_ENTRA_ALLOWED', value: allowed }
            ],
            sharedEnv,
            urlEnv,
            priorityEnv,
            keyEnv,
            clientKeyEnv,
            configEnv,
            redisEnv,
            tracesEnv
          )
          probes: [
            {
              type: 'Startup'
              httpGet: { path: settings.probes.startup.path, port: settings.ports.traffic }
              periodSeconds: settings.probes.startup.periodSeconds
              timeoutSeconds: settings.probes.startup.timeoutSeconds
              failureThreshold: settings.probes.startup.failureThreshold
            }
            {
              type: 'Liveness'
              httpGet: { path: settings.probes.liveness.path, port: settings.ports.traffic }
              periodSeconds: settings.probes.liveness.periodSeconds
              timeoutSeconds: settings.probes.liveness.timeoutSeconds
              failureThreshold: settings.probes.liveness.failureThreshold
            }
            {
              type: 'Readiness'
              httpGet: { path: settings.probes.readiness.path, port: settings.ports.traffic }
              periodSeconds: settings.probes.readiness.periodSeconds
              timeoutSeconds: settings.probes.readiness.timeoutSeconds
              failureThreshold: settings.probes.readiness.failureThreshold
            }
          ]
        }
      ]
      scale: {
        minReplicas: empty(minReplicas) ? settings.scale.minReplicas : max(1, int(minReplicas))
        maxReplicas: empty(maxReplicas) ? settings.scale.maxReplicas : int(maxReplicas)
        rules: [
          {
            name: 'concurrent-requests'
            http: {
              metadata: { concurrentRequests: string(settings.scale.concurrentRequests) }
            }
          }
        ]
      }
    }
  }
}

output SERVICE_WEB_NAME string = app.name
output CONTAINER_APP_URL string = 'https://${app.properties.configuration.ingress.fqdn}'
output AZURE_OPENAI_CUSTOM_URL string = 'https://${app.properties.configuration.ingress.fqdn}/openai/v1'
