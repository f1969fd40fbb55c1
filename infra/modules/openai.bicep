// One Azure OpenAI account with the deployments `chat` and `embedding`; keys off, one role for one identity.
param name string
param location string
param tags object
@allowed(['OpenAI', 'AIServices'])
param kind string
param callerPrincipalId string
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string
param chatModel string
param chatModelVersion string
param chatCapacity int
param embeddingModel string
param embeddingModelVersion string
param embeddingCapacity int

// Cognitive Services OpenAI User: inference, nothing else.
var openAiUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd')

var deployments = [
  { name: 'chat', model: chatModel, version: chatModelVersion, capacity: chatCapacity }
  { name: 'embedding', model: embeddingModel, version: embeddingModelVersion, capacity: embeddingCapacity }
]

resource account 'Microsoft.CognitiveServices/accounts@2026-05-01' = {
  name: name
  location: location
  tags: tags
  kind: kind
  sku: { name: 'S0' }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

// One at a time: the resource provider refuses two deployments of one account at once.
@batchSize(1)
resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2026-05-01' = [for item in deployments: {
  parent: account
  name: item.name
  sku: { name: 'GlobalStandard', capacity: item.capacity }
  properties: {
    model: { format: 'OpenAI', name: item.model, version: item.version }
    versionUpgradeOption: 'OnceCurrentVersionExpired'
  }
}]

resource caller 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, callerPrincipalId, openAiUser)
  scope: account
  properties: {
    roleDefinitionId: openAiUser
    principalId: callerPrincipalId
    principalType: 'ServicePrincipal'
  }
}
