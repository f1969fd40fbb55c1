# Keeps client keys and backend keys. The app may read secrets, the deployer may write them, nobody else anything.
resource "azapi_resource" "vault" {
  count     = var.use_key_vault ? 1 : 0
  type      = "Microsoft.KeyVault/vaults@2026-02-01"
  parent_id = azapi_resource.group.id
  name      = "kv-${local.token}"
  location  = var.location
  tags      = local.tags

  body = {
    properties = {
      tenantId                  = data.azapi_client_config.current.tenant_id
      sku                       = { family = "A", name = "standard" }
      enableRbacAuthorization   = true
      enableSoftDelete          = true
      softDeleteRetentionInDays = 7
    }
  }
}

resource "azapi_resource" "reader" {
  count     = var.use_key_vault ? 1 : 0
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  parent_id = azapi_resource.vault[0].id
  name      = uuidv5("url", "${azapi_resource.vault[0].id}/${azapi_resource.identity.id}/reader")

  body = {
    properties = {
      roleDefinitionId = local.secrets_user
      principalId      = azapi_resource.identity.output.properties.principalId
      principalType    = "ServicePrincipal"
    }
  }
}

resource "azapi_resource" "officer" {
  count     = var.use_key_vault ? 1 : 0
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  parent_id = azapi_resource.vault[0].id
  name      = uuidv5("url", "${azapi_resource.vault[0].id}/${local.deployer}/officer")

  body = {
    properties = {
      roleDefinitionId = local.secrets_officer
      principalId      = local.deployer
      principalType    = var.principal_type
    }
  }
}
