# The commands of a developer. CI calls the same ones. `just` alone lists them.
# They use the virtual environment .venv, or the one that the variable VENV names.

export PATH := absolute_path(env("VENV", ".venv")) + "/bin:" + env("PATH")

[private]
default:
    @just --list --unsorted

# Check format, style, imports, scripts, workflows and types, also of JavaScript; change nothing
check: lint types javascript

# Run the tests: all but the thorough ones, or those that the arguments name
test *arguments:
    pytest {{ arguments }}

# Run the tests that are not slow and need no GPU
fast *arguments:
    pytest -m "not slow and not thorough and not gpu" -n auto --dist loadfile {{ arguments }}

# Run the tests that take too long for each change; CI does so every night
thorough *arguments:
    pytest -m thorough -n auto --dist loadfile {{ arguments }}

# Run the tests and show which lines they leave out
[private]
coverage:
    pytest --cov --cov-report=term -n auto --dist loadfile

# Format the code, and repair what ruff can repair
fix:
    ruff check --fix .
    ruff format .
    npm run --silent fix

# Start the service with the checkpoints that Fanlight ships
serve *arguments:
    fanlight serve {{ arguments }}

# Run the tests that start servers, browsers and clients
e2e *arguments:
    pytest tests/e2e {{ arguments }}

# Break parts of a running service: what docs/reliability.md promises holds; under five minutes
faults *arguments:
    pytest tests/faults -m "" -n auto --dist loadfile {{ arguments }}

# Write the docs' tables anew, and build the docs as a site in build/site
docs:
    python -m docs.tables
    NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

# Ask PyPI's advisory service for known weaknesses of the tested versions; needs the internet
audit:
    pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

# Ask a service a million things while its parts fail (docs/reliability.md)
soak *arguments:
    python -m benchmarks soak {{ arguments }}

# Mutate images of all formats, and decode them: time and memory are watched (docs/reliability.md)
fuzz *arguments:
    python -m benchmarks.soak.fuzz {{ arguments }}

# Ten restarts behind proxies with default settings, and a worker killed every 5 s for 10 minutes
restarts *arguments:
    RESTARTS=10 KILLS=120 pytest tests/e2e/test_restarts.py -m "" {{ arguments }}

# What needs neither torch nor the other dependencies: CI runs it first
[private]
lint:
    ruff format --check .
    ruff check .
    lint-imports
    shellcheck .ci/run benchmarks/gpu.sh
    zizmor --quiet --offline .github

[private]
types:
    mypy

# needs Node.js; `npm ci` installs the tools
[private]
javascript:
    npm ci --silent --no-audit --no-fund
    npm run --silent check
