"""What `python -m benchmarks soak` is made of: load, faults, what is watched, what was promised.

    models, oracle → service as a process ← mix of requests (all the time)
                                          ← faults (each once a round)
                                          ← watch (between the rounds, when nothing is asked)
    record → promises → table, JSON, exit code

`tests/faults` uses the same parts, one fault a test.
"""
