"""The parts of `python -m benchmarks soak`: load, faults, monitoring, and promises to check.

    models, oracle → service as a process ← mix of requests (all the time)
                                          ← faults (each once a round)
                                          ← watch (between the rounds, when nothing is asked)
    record → promises → table, JSON, exit code

`tests/faults` uses the same parts, one fault a test.
"""
