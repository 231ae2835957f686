"""llmctl: from nothing to a trained, evaluated, trustworthy language model.

The layers, each importing only what stands below it::

    cli -> workflows -> {training, models, objectives, data, inference, metrics}
        -> {runs, recipe, config, progress, errors}

Nothing below ``cli`` prints or exits. This module imports nothing, so that ``llmctl --version`` is instant.
"""

__version__ = "0.1.0"
