"""Text from wherever it lies to token blocks.

``sources`` says what a source string names; ``files``, ``json_values``, ``readers`` and ``hub`` read it;
``documents`` counts, splits and cuts what was read; ``load`` puts these together; ``encode`` and ``blocks``
make tokens of it. ``builtin`` generates small data sets, which ``generated`` keeps.
"""
