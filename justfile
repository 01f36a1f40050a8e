# Commands for contributors. `pip install -e ".[dev]"` installs `just`; each recipe is simple enough
# to type by hand.
export NO_MKDOCS_2_WARNING := "1"

set windows-shell := ["powershell.exe", "-NoLogo", "-Command"]

_list:
    @just --list

# Lint, format check and types
lint:
    ruff check .
    ruff format --check .
    mypy

# Reformat, and fix what ruff can fix
fix:
    ruff check --fix .
    ruff format .

# The quick tests, for every change: under 90 seconds on two cores
quick *args:
    pytest -m "not slow" {{ args }}

# All tests
test *args:
    pytest {{ args }}

# All tests, with a coverage report
coverage:
    pytest --cov --cov-report=term

# Build the site into site/; warnings are errors
docs:
    mkdocs build --strict --quiet

# Serve the site at http://127.0.0.1:8000 and update it on changes
serve:
    mkdocs serve

# Time one optimisation step against a plain implementation
bench:
    python benchmarks/step.py --compare

# Lint, tests, site and wheel in a fresh environment (Linux)
ci:
    .ci/run
