locals {
  # Regions that azure-search-openai-demo offers for the same two models, three continents first.
  regions_with_both_models = ["eastus2", "swedencentral", "australiaeast", "northcentralus", "francecentral", "japaneast", "westus3", "uksouth"]

  home    = lower(replace(var.location, " ", ""))
  several = distinct(concat([local.home], local.regions_with_both_models))
  regions = length(var.openai_regions) > 0 ? var.openai_regions : slice(local.several, 0, var.openai_count)

  # Nothing is made when endpoints are given.
  accounts = length(var.openai_endpoints) > 0 ? {} : { for i, region in local.regions : "openai${i + 1}-${local.token}" => region }

  deployments = {
    chat      = { model = var.openai_chat_model, version = var.openai_chat_model_version, capacity = var.openai_capacity }
    embedding = { model = var.openai_embedding_model, version = var.openai_embedding_model_version, capacity = var.openai_embedding_capacity }
  }
  deployments_of_accounts = merge([for account in keys(local.accounts) : {
    for name, deployment in local.deployments : "${account}/${name}" => merge(deployment, { account = account, name = name })
  }]...)

  endpoints = length(var.openai_endpoints) > 0 ? var.openai_endpoints : [for i, region in local.regions : "https://openai${i + 1}-${local.token}.openai.azure.com"]
}

resource "azapi_resource" "account" {
  for_each  = local.accounts
  type      = "Microsoft.CognitiveServices/accounts@2026-05-01"
  parent_id = azapi_resource.group.id
  name      = each.key
  location  = each.value
  tags      = local.tags

  body = {
    kind = var.openai_kind
    sku  = { name = "S0" }
    properties = {
      customSubDomainName = each.key
      disableLocalAuth    = true
      publicNetworkAccess = var.use_private_network ? "Disabled" : "Enabled"
      networkAcls = {
        defaultAction = var.use_private_network ? "Deny" : "Allow"
      }
    }
  }
}

resource "azapi_resource" "deployment" {
  for_each  = local.deployments_of_accounts
  type      = "Microsoft.CognitiveServices/accounts/deployments@2026-05-01"
  parent_id = azapi_resource.account[each.value.account].id
  name      = each.value.name
  # One at a time: the resource provider refuses two deployments of one account at once.
  locks = [azapi_resource.account[each.value.account].id]

  body = {
    sku = { name = "GlobalStandard", capacity = each.value.capacity }
    properties = {
      model                = { format = "OpenAI", name = each.value.model, version = each.value.version }
      versionUpgradeOption = "OnceCurrentVersionExpired"
    }
  }
}

resource "azapi_resource" "caller" {
  for_each  = local.accounts
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  parent_id = azapi_resource.account[each.key].id
  name      = uuidv5("url", "${azapi_resource.account[each.key].id}/${azapi_resource.identity.id}/caller")

  body = {
    properties = {
      roleDefinitionId = local.openai_user
      principalId      = azapi_resource.identity.output.properties.principalId
      principalType    = "ServicePrincipal"
    }
  }
}
