# azapi speaks the resource manager's own language: the bodies below are the ones of ../main.bicep, at the same API
# versions, and `make check-infra` holds them against the same definitions.
terraform {
  required_version = ">= 1.9"

  required_providers {
    azapi = {
      source = "azure/azapi"
      # The newest 2.x: it checks bodies against the API versions that it knows, and older ones know no 2026 ones.
      version = "~> 2.4"
    }
  }
}

provider "azapi" {}
