"""Nothing reports to us, and what libraries report about themselves is off unless you have turned it on.

Set when the package is imported, and handed to every process it starts: some libraries read their switch when they are
imported themselves. What is set already is left as it is.
"""

import os

OFF = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers, peft, trl, datasets, sentence-transformers
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",  # the client inside trackio
}


def switch_off() -> None:
    """Switch off what has not been set otherwise."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
