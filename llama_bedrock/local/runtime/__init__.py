"""The bedrock-runtime service on this machine: requests in, answers and faults out."""
