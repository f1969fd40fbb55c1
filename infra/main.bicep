// Everything but the container app, which infra/web.bicep makes once an image exists.
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('AZURE_ENV_NAME: names the resource group (rg-<name>) and tags everything in it.')
param environmentName string

@minLength(1)
@description('AZURE_LOCATION: region of the container app and of the first Azure OpenAI account. azd offers only regions with quota left for both models.')
@metadata({
  azd: {
    type: 'location'
    usageName: [
      'OpenAI.GlobalStandard.gpt-5.4-mini,10'
      'OpenAI.GlobalStandard.text-embedding-3-large,10'
    ]
  }
})
param location string

@description('AZURE_PRINCIPAL_ID: who deploys. May call the balancer at once, and may write secrets if there is a key vault.')
param principalId string = ''

@description('AZURE_PRINCIPAL_TYPE: User, or ServicePrincipal in a pipeline.')
@allowed(['User', 'ServicePrincipal'])
param principalType string = 'User'

@description('OPENAI_CAPACITY: quota of each chat deployment, in thousands of tokens per minute.')
@minValue(1)
param openAiCapacity int = 10

@description('OPENAI_EMBEDDING_CAPACITY: quota of each embedding deployment, in thousands of tokens per minute.')
@minValue(1)
param embeddingCapacity int = 10

@description('OPENAI_COUNT: how many accounts to make, each in a region of its own.')
@minValue(1)
@maxValue(8)
param openAiCount int = 3

@description('OPENAI_REGIONS: comma list of regions, one account in each. Overrides OPENAI_COUNT.')
param openAiRegions string = ''

@description('OPENAI_KIND: OpenAI, or AIServices for accounts that the Foundry portal manages.')
@allowed(['OpenAI', 'AIServices'])
param openAiKind string = 'OpenAI'

@description('OPENAI_CHAT_MODEL: the model behind the deployment `chat`.')
param chatModel string = 'gpt-5.4-mini'

@description('OPENAI_CHAT_MODEL_VERSION')
param chatModelVersion string = '2026-03-17'

@description('OPENAI_EMBEDDING_MODEL: the model behind the deployment `embedding`; the default is what azure-search-openai-demo indexes with.')
param embeddingModel string = 'text-embedding-3-large'

@description('OPENAI_EMBEDDING_MODEL_VERSION')
param embeddingModelVersion string = '1'

@description('OPENAI_ENDPOINTS: comma list of https endpoints of existing accounts. When given, no account is made.')
param openAiEndpoints string = ''

@description('USE_KEY_VAULT: make a key vault for client keys and backend keys, which the app may read.')
param useKeyVault bool = false

@description('USE_PRIVATE_NETWORK: private endpoints for the accounts and an ingress that only the virtual network reaches.')
param usePrivateNetwork bool = false

@description('ADDRESS_SPACE: of that virtual network; a /22 or larger.')
param addressSpace string = '10.117.0.0/22'

@description('A published image. Empty with azd, which builds one and deploys infra/web.bicep itself.')
param image string = ''

@description('LB_ENTRA_ALLOWED, OPENAI_PRIORITIES, CLIENT_KEYS_SECRET_URI, CONFIG_SECRET_URI, REDIS_URL, TRACES_SHARE, OPENAI_KEY_SECRET_URIS: used here only together with `image`; see infra/web.bicep.')
param entraAllowed string = ''
param openAiPriorities string = ''
param clientKeysSecretUri string = ''
param configSecretUri string = ''
param redisUrl string = ''
param tracesShare string = ''
param openAiKeySecretUris string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var appName = 'openai-lb-${token}'

// Regions that azure-search-openai-demo offers for the same two models, three continents first.
var regionsWithBothModels = ['eastus2', 'swedencentral', 'australiaeast', 'northcentralus', 'francecentral', 'japaneast', 'westus3', 'uksouth']
var home = toLower(replace(location, ' ', ''))
var regions = empty(openAiRegions) ? take(union([home], regionsWithBothModels), openAiCount) : split(replace(openAiRegions, ' ', ''), ',')
var makesAccounts = empty(openAiEndpoints)
var accountNames = [for (region, i) in regions: 'openai${i + 1}-${token}']
var madeEndpoints = [for name in accountNames: 'https://${name}.openai.azure.com']
var endpoints = makesAccounts ? join(madeEndpoints, ',') : openAiEndpoints

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-lb-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${token}'
    insightsName: 'appi-${token}'
    location: location
    tags: tags
    publisherPrincipalId: identity.outputs.principalId
  }
}

module registry 'modules/registry.bicep' = {
  name: 'registry'
  scope: group
  params: {
    name: 'cr${token}'
    location: location
    tags: tags
    pullerPrincipalId: identity.outputs.principalId
  }
}

module network 'modules/network.bicep' = if (usePrivateNetwork) {
  name: 'network'
  scope: group
  params: {
    name: 'vnet-${token}'
    location: location
    tags: tags
    addressSpace: addressSpace
  }
}

module accounts 'modules/openai.bicep' = [for (region, i) in regions: if (makesAccounts) {
  name: 'openai${i + 1}'
  scope: group
  params: {
    name: accountNames[i]
    location: region
    tags: tags
    kind: openAiKind
    callerPrincipalId: identity.outputs.principalId
    publicNetworkAccess: usePrivateNetwork ? 'Disabled' : 'Enabled'
    chatModel: chatModel
    chatModelVersion: chatModelVersion
    chatCapacity: openAiCapacity
    embeddingModel: embeddingModel
    embeddingModelVersion: embeddingModelVersion
    embeddingCapacity: embeddingCapacity
  }
}]

module accountEndpoints 'modules/private-endpoint.bicep' = [for (region, i) in regions: if (makesAccounts && usePrivateNetwork) {
  name: 'openai${i + 1}-private-endpoint'
  scope: group
  dependsOn: [accounts]
  params: {
    name: 'pe-${accountNames[i]}'
    location: location
    tags: tags
    accountName: accountNames[i]
    subnetId: usePrivateNetwork ? network!.outputs.endpointsSubnetId : ''
  }
}]

module environment 'modules/environment.bicep' = {
  name: 'environment'
  scope: group
  params: {
    name: 'cae-${token}'
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    subnetId: usePrivateNetwork ? network!.outputs.appsSubnetId : ''
  }
}

module environmentDns 'modules/environment-dns.bicep' = if (usePrivateNetwork) {
  name: 'environment-dns'
  scope: group
  params: {
    zoneName: environment.outputs.defaultDomain
    address: environment.outputs.staticIp
    networkId: usePrivateNetwork ? network!.outputs.id : ''
    tags: tags
  }
}

module keyVault 'modules/key-vault.bicep' = if (useKeyVault) {
  name: 'key-vault'
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    readerPrincipalId: identity.outputs.principalId
    officerPrincipalId: principalId
    officerPrincipalType: principalType
  }
}

module web 'web.bicep' = if (!empty(image)) {
  name: 'web'
  scope: group
  dependsOn: [accounts, keyVault]
  params: {
    name: appName
    location: location
    environmentName: environmentName
    containerEnvironmentName: environment.outputs.name
    registryName: registry.outputs.name
    identityName: identity.outputs.name
    image: image
    endpoints: endpoints
    priorities: openAiPriorities
    keySecretUris: openAiKeySecretUris
    clientKeysSecretUri: clientKeysSecretUri
    configSecretUri: configSecretUri
    redisUrl: redisUrl
    tracesShare: tracesShare
    insightsName: monitoring.outputs.insightsName
    principalId: principalId
    entraAllowed: entraAllowed
  }
}

output AZURE_TENANT_ID string = tenant().tenantId
output RESOURCE_GROUP_NAME string = group.name
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_REGISTRY_NAME string = registry.outputs.name
output AZURE_CONTAINER_REGISTRY_NAME string = registry.outputs.name
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.loginServer
output AZURE_CONTAINER_ENVIRONMENT_NAME string = environment.outputs.name
output AZURE_LOG_ANALYTICS_WORKSPACE_NAME string = monitoring.outputs.workspaceName
output AZURE_APPLICATION_INSIGHTS_NAME string = monitoring.outputs.insightsName
output AZURE_KEY_VAULT_NAME string = useKeyVault ? keyVault!.outputs.name : ''
output AZURE_OPENAI_ENDPOINTS string = endpoints
output SERVICE_WEB_NAME string = appName
output SERVICE_WEB_IDENTITY_NAME string = identity.outputs.name
output SERVICE_WEB_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output CONTAINER_APP_URL string = 'https://${appName}.${environment.outputs.defaultDomain}'
output AZURE_OPENAI_CUSTOM_URL string = 'https://${appName}.${environment.outputs.defaultDomain}/openai/v1'
