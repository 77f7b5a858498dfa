"""Bedrock's control plane on this machine: models, profiles, jobs, deployments, tags, quotas."""
