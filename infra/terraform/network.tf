# Everything here is made only with use_private_network.
locals {
  private_zones    = var.use_private_network ? ["privatelink.openai.azure.com", "privatelink.cognitiveservices.azure.com", "privatelink.services.ai.azure.com"] : []
  private_accounts = var.use_private_network ? local.accounts : {}
}

resource "azapi_resource" "apps_rules" {
  count     = var.use_private_network ? 1 : 0
  type      = "Microsoft.Network/networkSecurityGroups@2024-07-01"
  parent_id = azapi_resource.group.id
  name      = "vnet-${local.token}-apps"
  location  = var.location
  tags      = local.tags
}

resource "azapi_resource" "endpoints_rules" {
  count     = var.use_private_network ? 1 : 0
  type      = "Microsoft.Network/networkSecurityGroups@2024-07-01"
  parent_id = azapi_resource.group.id
  name      = "vnet-${local.token}-endpoints"
  location  = var.location
  tags      = local.tags
}

resource "azapi_resource" "network" {
  count     = var.use_private_network ? 1 : 0
  type      = "Microsoft.Network/virtualNetworks@2024-07-01"
  parent_id = azapi_resource.group.id
  name      = "vnet-${local.token}"
  location  = var.location
  tags      = local.tags

  body = {
    properties = {
      addressSpace = { addressPrefixes = [var.address_space] }
      subnets = [
        {
          name = "apps"
          properties = {
            addressPrefix        = cidrsubnet(var.address_space, 24 - tonumber(split("/", var.address_space)[1]), 0)
            networkSecurityGroup = { id = azapi_resource.apps_rules[0].id }
            delegations = [
              {
                name       = "environments"
                properties = { serviceName = "Microsoft.App/environments" }
              },
            ]
          }
        },
        {
          name = "endpoints"
          properties = {
            addressPrefix                  = cidrsubnet(var.address_space, 24 - tonumber(split("/", var.address_space)[1]), 1)
            networkSecurityGroup           = { id = azapi_resource.endpoints_rules[0].id }
            privateEndpointNetworkPolicies = "Enabled"
          }
        },
      ]
    }
  }
}

resource "azapi_resource" "zone" {
  for_each  = toset(local.private_zones)
  type      = "Microsoft.Network/privateDnsZones@2024-06-01"
  parent_id = azapi_resource.group.id
  name      = each.key
  location  = "global"
  tags      = local.tags
}

resource "azapi_resource" "zone_link" {
  for_each  = toset(local.private_zones)
  type      = "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01"
  parent_id = azapi_resource.zone[each.key].id
  name      = "apps"
  location  = "global"

  body = {
    properties = {
      registrationEnabled = false
      virtualNetwork      = { id = azapi_resource.network[0].id }
    }
  }
}

resource "azapi_resource" "endpoint" {
  for_each  = local.private_accounts
  type      = "Microsoft.Network/privateEndpoints@2024-07-01"
  parent_id = azapi_resource.group.id
  name      = "pe-${each.key}"
  location  = var.location
  tags      = local.tags
  # The account answers "another operation is in progress" while its deployments are being made.
  depends_on = [azapi_resource.deployment]

  body = {
    properties = {
      subnet = { id = "${azapi_resource.network[0].id}/subnets/endpoints" }
      privateLinkServiceConnections = [
        {
          name = "account"
          properties = {
            privateLinkServiceId = azapi_resource.account[each.key].id
            groupIds             = ["account"]
          }
        },
      ]
    }
  }
}

resource "azapi_resource" "zone_group" {
  for_each  = local.private_accounts
  type      = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01"
  parent_id = azapi_resource.endpoint[each.key].id
  name      = "default"

  body = {
    properties = {
      privateDnsZoneConfigs = [for zone in local.private_zones : {
        name       = replace(zone, ".", "-")
        properties = { privateDnsZoneId = azapi_resource.zone[zone].id }
      }]
    }
  }
}

# Lets the virtual network find the apps of the internal environment by name.
resource "azapi_resource" "environment_zone" {
  count     = var.use_private_network ? 1 : 0
  type      = "Microsoft.Network/privateDnsZones@2024-06-01"
  parent_id = azapi_resource.group.id
  name      = azapi_resource.environment.output.properties.defaultDomain
  location  = "global"
  tags      = local.tags
}

resource "azapi_resource" "every_app" {
  count     = var.use_private_network ? 1 : 0
  type      = "Microsoft.Network/privateDnsZones/A@2024-06-01"
  parent_id = azapi_resource.environment_zone[0].id
  name      = "*"

  body = {
    properties = {
      ttl      = 300
      aRecords = [{ ipv4Address = azapi_resource.environment.output.properties.staticIp }]
    }
  }
}

resource "azapi_resource" "environment_link" {
  count     = var.use_private_network ? 1 : 0
  type      = "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01"
  parent_id = azapi_resource.environment_zone[0].id
  name      = "apps"
  location  = "global"

  body = {
    properties = {
      registrationEnabled = false
      virtualNetwork      = { id = azapi_resource.network[0].id }
    }
  }
}
