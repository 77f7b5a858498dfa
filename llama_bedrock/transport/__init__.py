"""From one request to Bedrock to typed chunks: signed HTTP, event-stream frames, retries and deadlines.

`request` and `response` are pure; `sync` and `aio` are thin shells around one retry generator (`retry`) and
one frame decoder (`eventstream`).
"""
