"""A load balancer for Azure OpenAI: one base URL in front of many endpoints."""
