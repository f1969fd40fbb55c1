output "AZURE_TENANT_ID" {
  value = data.azapi_client_config.current.tenant_id
}

output "RESOURCE_GROUP_NAME" {
  value = azapi_resource.group.name
}

output "AZURE_RESOURCE_GROUP" {
  value = azapi_resource.group.name
}

output "AZURE_REGISTRY_NAME" {
  value = azapi_resource.registry.name
}

output "AZURE_CONTAINER_REGISTRY_NAME" {
  value = azapi_resource.registry.name
}

output "AZURE_CONTAINER_REGISTRY_ENDPOINT" {
  value = azapi_resource.registry.output.properties.loginServer
}

output "AZURE_CONTAINER_ENVIRONMENT_NAME" {
  value = azapi_resource.environment.name
}

output "AZURE_LOG_ANALYTICS_WORKSPACE_NAME" {
  value = azapi_resource.workspace.name
}

output "AZURE_APPLICATION_INSIGHTS_NAME" {
  value = azapi_resource.insights.name
}

output "AZURE_KEY_VAULT_NAME" {
  value = var.use_key_vault ? azapi_resource.vault[0].name : ""
}

output "AZURE_OPENAI_ENDPOINTS" {
  value = join(",", local.endpoints)
}

output "SERVICE_WEB_NAME" {
  value = local.app_name
}

output "SERVICE_WEB_IDENTITY_NAME" {
  value = azapi_resource.identity.name
}

output "SERVICE_WEB_IDENTITY_PRINCIPAL_ID" {
  value = azapi_resource.identity.output.properties.principalId
}

output "CONTAINER_APP_URL" {
  value = "https://${local.app_name}.${azapi_resource.environment.output.properties.defaultDomain}"
}

output "AZURE_OPENAI_CUSTOM_URL" {
  value = "https://${local.app_name}.${azapi_resource.environment.output.properties.defaultDomain}/openai/v1"
}
