"""From wherever data lies to text, token blocks and labelled examples.

Both: ``sources`` says what a source string names and ``splits`` which part of it is learnt from and judged by;
``files``, ``json_values``, ``table_files``, ``arrow_tables`` and ``hub`` read it, as ``tables`` where it has
columns. ``builtin`` generates small data sets, which ``generated`` keeps.

Text: ``readers`` makes documents of files and ``shards`` goes on behind a broken one, ``documents`` counts and splits
them, ``cuts`` cuts them, ``text_loader`` puts these together, ``mixture`` understands several sources, ``load`` is what
is called; ``encode`` and ``blocks`` make tokens of them. A stream is told apart by ``streamed`` and tokenised by
``stream``.

Examples: ``conll``, ``squad`` and ``parallel`` read what only they use; ``columns`` (with ``usual_names`` and
``languages``) finds what holds what; ``canonical`` (with ``labels``, ``answers``, ``chat``) checks and converts
each row and counts its ``findings``; ``example_sources``, ``example_cache`` and ``examples`` put these together.
"""
