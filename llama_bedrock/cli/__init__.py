"""The command `llama-bedrock`: one module a command, imported when it runs."""
