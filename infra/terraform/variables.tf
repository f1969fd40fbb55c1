variable "environment_name" {
  description = "Names the resource group (rg-<name>) and tags everything in it."
  type        = string
}

variable "location" {
  description = "Region of the container app and of the first Azure OpenAI account."
  type        = string
}

variable "principal_id" {
  description = "Object id that may call the balancer at once and may write secrets; null: who runs Terraform."
  type        = string
  default     = null
}

variable "principal_type" {
  description = "User, or ServicePrincipal in a pipeline."
  type        = string
  default     = "User"

  validation {
    condition     = contains(["User", "ServicePrincipal"], var.principal_type)
    error_message = "Write User or ServicePrincipal."
  }
}

variable "image" {
  description = "The image in the registry; empty: make everything but the container app, so that the image can be built first."
  type        = string
  default     = ""
}

variable "openai_capacity" {
  description = "Quota of each chat deployment, in thousands of tokens per minute."
  type        = number
  default     = 10
}

variable "openai_embedding_capacity" {
  description = "Quota of each embedding deployment, in thousands of tokens per minute."
  type        = number
  default     = 10
}

variable "openai_count" {
  description = "How many accounts to make, each in a region of its own."
  type        = number
  default     = 3

  validation {
    condition     = var.openai_count >= 1 && var.openai_count <= 8
    error_message = "Write a number from 1 to 8, or name the regions."
  }
}

variable "openai_regions" {
  description = "Regions, one account in each. Overrides openai_count."
  type        = list(string)
  default     = []
}

variable "openai_kind" {
  description = "OpenAI, or AIServices for accounts that the Foundry portal manages."
  type        = string
  default     = "OpenAI"

  validation {
    condition     = contains(["OpenAI", "AIServices"], var.openai_kind)
    error_message = "Write OpenAI or AIServices."
  }
}

variable "openai_chat_model" {
  description = "The model behind the deployment `chat`."
  type        = string
  default     = "gpt-5.4-mini"
}

variable "openai_chat_model_version" {
  type    = string
  default = "2026-03-17"
}

variable "openai_embedding_model" {
  description = "The model behind the deployment `embedding`."
  type        = string
  default     = "text-embedding-3-large"
}

variable "openai_embedding_model_version" {
  type    = string
  default = "1"
}

variable "openai_endpoints" {
  description = "https endpoints of existing accounts. When given, no account is made."
  type        = list(string)
  default     = []
}

variable "openai_priorities" {
  description = "In the order of the endpoints; lower is preferred. Empty: all 1."
  type        = list(number)
  default     = []
}

variable "openai_key_secret_uris" {
  description = "Key vault secret identifiers in the order of the endpoints. An empty text, or none at all: managed identity."
  type        = list(string)
  default     = []
}

variable "client_keys_secret_uri" {
  description = "Key vault secret identifier whose value is LB_CLIENT_KEYS. Empty: Entra callers only."
  type        = string
  default     = ""
}

variable "config_secret_uri" {
  description = "Key vault secret identifier whose value is LB_CONFIG_INLINE: tenants, and whatever else the file says. Empty: none."
  type        = string
  default     = ""
}

variable "redis_url" {
  description = "rediss://name.region.redis.azure.net:10000, reached with the app's identity; replicas share budgets and cooldowns by it. Empty: none."
  type        = string
  default     = ""
}

variable "traces_share" {
  description = "Share of the requests whose traces go to Application Insights, such as 0.1. null: none."
  type        = number
  default     = null
}

variable "entra_allowed" {
  description = "LB_ENTRA_ALLOWED: object or application ids that may call, each `id` or `name:id`."
  type        = list(string)
  default     = []
}

variable "min_replicas" {
  description = "null: as in settings.yaml."
  type        = number
  default     = null
}

variable "max_replicas" {
  description = "null: as in settings.yaml."
  type        = number
  default     = null
}

variable "use_key_vault" {
  description = "Make a key vault for client keys and backend keys, which the app may read."
  type        = bool
  default     = false
}

variable "use_private_network" {
  description = "Private endpoints for the accounts and an ingress that only the virtual network reaches."
  type        = bool
  default     = false
}

variable "address_space" {
  description = "Address space of that virtual network; a /22 or larger."
  type        = string
  default     = "10.117.0.0/22"
}
