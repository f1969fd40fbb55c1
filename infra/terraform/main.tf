data "azapi_client_config" "current" {}

locals {
  settings = yamldecode(file("${path.module}/../settings.yaml"))
  token    = substr(sha256("${data.azapi_client_config.current.subscription_id}/${var.environment_name}/${var.location}"), 0, 13)
  tags     = { "azd-env-name" = var.environment_name }
  app_name = "openai-lb-${local.token}"
  deployer = coalesce(var.principal_id, data.azapi_client_config.current.object_id)

  role_definitions  = "${data.azapi_client_config.current.subscription_resource_id}/providers/Microsoft.Authorization/roleDefinitions"
  acr_pull          = "${local.role_definitions}/7f951dda-4ed3-4680-a7ca-43fe172d538d"
  openai_user       = "${local.role_definitions}/5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
  secrets_user      = "${local.role_definitions}/4633458b-17de-408a-b874-0445c86b69e6"
  metrics_publisher = "${local.role_definitions}/3913510d-42f4-4e42-8a64-420c390055eb"
  secrets_officer   = "${local.role_definitions}/b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
}

resource "azapi_resource" "group" {
  type      = "Microsoft.Resources/resourceGroups@2025-04-01"
  parent_id = data.azapi_client_config.current.subscription_resource_id
  name      = "rg-${var.environment_name}"
  location  = var.location
  tags      = local.tags
}

resource "azapi_resource" "identity" {
  type                   = "Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30"
  parent_id              = azapi_resource.group.id
  name                   = "id-lb-${local.token}"
  location               = var.location
  tags                   = local.tags
  response_export_values = ["properties.clientId", "properties.principalId"]
}

resource "azapi_resource" "workspace" {
  type      = "Microsoft.OperationalInsights/workspaces@2025-07-01"
  parent_id = azapi_resource.group.id
  name      = "log-${local.token}"
  location  = var.location
  tags      = local.tags

  body = {
    properties = {
      sku             = { name = "PerGB2018" }
      retentionInDays = 30
      features        = { enableLogAccessUsingOnlyResourcePermissions = true }
    }
  }
}

resource "azapi_resource" "insights" {
  type                   = "Microsoft.Insights/components@2020-02-02"
  parent_id              = azapi_resource.group.id
  name                   = "appi-${local.token}"
  location               = var.location
  tags                   = local.tags
  response_export_values = ["properties.ConnectionString"]

  body = {
    kind = "web"
    properties = {
      Application_Type    = "web"
      WorkspaceResourceId = azapi_resource.workspace.id
      DisableLocalAuth    = true
    }
  }
}

resource "azapi_resource" "publish" {
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  parent_id = azapi_resource.insights.id
  name      = uuidv5("url", "${azapi_resource.insights.id}/${azapi_resource.identity.id}/publish")

  body = {
    properties = {
      roleDefinitionId = local.metrics_publisher
      principalId      = azapi_resource.identity.output.properties.principalId
      principalType    = "ServicePrincipal"
    }
  }
}

resource "azapi_resource" "registry" {
  type                   = "Microsoft.ContainerRegistry/registries@2025-11-01"
  parent_id              = azapi_resource.group.id
  name                   = "cr${local.token}"
  location               = var.location
  tags                   = local.tags
  response_export_values = ["properties.loginServer"]

  body = {
    sku = { name = "Basic" }
    properties = {
      adminUserEnabled = false
    }
  }
}

resource "azapi_resource" "pull" {
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  parent_id = azapi_resource.registry.id
  name      = uuidv5("url", "${azapi_resource.registry.id}/${azapi_resource.identity.id}/pull")

  body = {
    properties = {
      roleDefinitionId = local.acr_pull
      principalId      = azapi_resource.identity.output.properties.principalId
      principalType    = "ServicePrincipal"
    }
  }
}

resource "azapi_resource" "environment" {
  type                   = "Microsoft.App/managedEnvironments@2026-01-01"
  parent_id              = azapi_resource.group.id
  name                   = "cae-${local.token}"
  location               = var.location
  tags                   = local.tags
  response_export_values = ["properties.defaultDomain", "properties.staticIp"]

  body = {
    properties = {
      appLogsConfiguration = { destination = "azure-monitor" }
      workloadProfiles = [
        { name = "Consumption", workloadProfileType = "Consumption" },
      ]
      vnetConfiguration = var.use_private_network ? {
        infrastructureSubnetId = "${azapi_resource.network[0].id}/subnets/apps"
        internal               = true
      } : null
    }
  }
}

resource "azapi_resource" "logs" {
  type      = "Microsoft.Insights/diagnosticSettings@2021-05-01-preview"
  parent_id = azapi_resource.environment.id
  name      = "logs"

  body = {
    properties = {
      workspaceId = azapi_resource.workspace.id
      logs = [
        { category = "ContainerAppConsoleLogs", enabled = true },
        { category = "ContainerAppSystemLogs", enabled = true },
      ]
    }
  }
}
