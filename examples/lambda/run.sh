#!/bin/sh
# What the adapter's /opt/bootstrap runs instead of a handler; the packages lie beside it.
cd "${LAMBDA_TASK_ROOT:-$(dirname "$0")}" && exec python3 app.py
