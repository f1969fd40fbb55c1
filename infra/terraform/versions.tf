# azapi speaks the resource manager's own language: the bodies below are the ones of ../main.bicep, at the same API
# versions, and `make check-infra` holds them against the same definitions.
terraform {
  required_version = ">= 1.9"

  required_providers {
    azapi = {
      source  = "azure/azapi"
      version = "~> 2.4"
    }
  }
}

provider "azapi" {}
