"""Scoring of many images: a source → shards of rows, the same however it is run.

    source → pieces of `shard_size` images → scorers (processes, or actors of Ray) → shards

`sources` lists the images once. Each piece of the list becomes one file (`shards`), by a `Scorer`,
which decodes and predicts with the parts that the service uses. `folder` holds the shards and the
manifest that says what they belong to. Nothing in a shard depends on which process wrote it, or
when: so a run that was broken off goes on where shards are missing.

This package stands above `service`, whose parts it runs, and has no part in serving.
"""
