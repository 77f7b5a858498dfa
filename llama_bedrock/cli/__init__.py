"""The command `llama-bedrock`: one module per command, imported when it runs."""
