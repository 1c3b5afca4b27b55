# Every target calls `payments` (cli/) or a tool of its own name.

.DEFAULT_GOAL := help
.PHONY: help setup demo up down replay invoke seal inspect console picture audit soak reconcile trial-balance statement ledger export verify-ledger checkout cost scale rules-test plan deploy destroy acceptance rotate permissions build sbom bench test simulate mutants lint lock clean

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
CHECKOV := .venv-checkov
PAYMENTS := $(VENV)/bin/python -m cli
PERIOD = $(if $(FROM),--from '$(FROM)') $(if $(TO),--to '$(TO)')
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'
export PYTHONDONTWRITEBYTECODE := 1

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/requirements.sha ## Make the virtual environment, with every package at its locked version

$(VENV)/requirements.sha: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; choose one with make PYTHON=…")'
	@command -v terraform >/dev/null || { echo "Terraform is not installed. Install Terraform 1.9 or newer, and see that it is on the PATH."; exit 1; }
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(CHECKOV)/requirements.sha: requirements/checkov.txt | setup
	@echo "Setting up $(CHECKOV)"
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(CHECKOV)
	@$(VENV)/bin/uv pip install --quiet --require-hashes --python $(CHECKOV) -r requirements/checkov.txt
	@touch $@

demo: setup ## Start the stack on this machine, replay every sample event, show what came of it
	@$(PAYMENTS) demo

up: setup ## Start the stack on this machine and deploy to it (EMULATOR_PORT=, SPARKLE_PORT=)
	@$(PAYMENTS) up

down: setup ## Stop all that `make up` started
	@$(PAYMENTS) down

replay: setup ## Replay sample events (EVENT=, REPEAT=, CONCURRENCY=, WATCH=1, JUNIT=, JSON=) or past executions (EXECUTION=, or STATUS=, SINCE=, UNTIL=, LIMIT=, FROM=; CARD=), on STACK=file
	@$(PAYMENTS) replay $(EVENT) $(if $(REPEAT),--repeat $(REPEAT)) $(if $(CONCURRENCY),--concurrency $(CONCURRENCY)) \
	  $(if $(WATCH),--watch) $(if $(JUNIT),--junit '$(JUNIT)') $(if $(JSON),--json '$(JSON)') \
	  $(foreach execution,$(EXECUTION),--execution '$(execution)') $(if $(STATUS),--status $(STATUS)) \
	  $(if $(SINCE),--since '$(SINCE)') $(if $(UNTIL),--until '$(UNTIL)') $(if $(LIMIT),--limit $(LIMIT)) \
	  $(if $(FROM),--from-stack '$(FROM)') $(if $(CARD),--card $(CARD)) $(if $(STACK),--stack '$(STACK)')

invoke: setup ## Run one function on one event (FUNCTION=charge EVENT=file), on STACK=file
	@$(PAYMENTS) invoke $(or $(FUNCTION),$(error Say which: make invoke FUNCTION=charge)) $(EVENT) $(if $(STACK),--stack '$(STACK)')

seal: setup ## Seal a card for one payment (PAYMENT=id), on STACK=file; the card is asked for
	@$(PAYMENTS) seal $(if $(PAYMENT),--payment-id '$(PAYMENT)') $(if $(STACK),--stack '$(STACK)')

inspect: setup ## Show one payment, its states and its ledger entries (PAYMENT=id), or write it as a page (HTML=1), on STACK=file
	@$(PAYMENTS) inspect $(or $(PAYMENT),$(error Say which: make inspect PAYMENT=…)) $(if $(HTML),--html $(filter-out 1,$(HTML))) $(if $(STACK),--stack '$(STACK)')

console: setup ## Show the payments in the browser, as they happen (CONSOLE_PORT=), on STACK=file
	@$(PAYMENTS) console $(if $(STACK),--stack '$(STACK)')

audit: setup ## Hold executions, ledger and gateway against each other (PAYMENT=id, or all), on STACK=file
	@$(PAYMENTS) audit $(PAYMENT) $(if $(STACK),--stack '$(STACK)')

soak: setup ## Push N payments with faults among them through the API, then audit them (SEED=, CONCURRENCY=, STACK=file)
	@$(PAYMENTS) soak $(N) $(if $(SEED),--seed $(SEED)) $(if $(CONCURRENCY),--concurrency $(CONCURRENCY)) $(if $(STACK),--stack '$(STACK)')

reconcile: setup ## Hold a day's report, ledger and executions against each other (DAY=, yesterday without it), on STACK=file
	@$(PAYMENTS) reconcile $(DAY) $(if $(STACK),--stack '$(STACK)')

trial-balance: setup ## Show what each account comes to, and whether debits equal credits (AS_OF=day or time), on STACK=file
	@$(PAYMENTS) ledger trial-balance $(if $(AS_OF),--as-of '$(AS_OF)') $(if $(STACK),--stack '$(STACK)')

statement: setup ## Show an account's postings (ACCOUNT=asset:bank FROM=day TO=day), on STACK=file
	@$(PAYMENTS) ledger statement $(or $(ACCOUNT),$(error Say which: make statement ACCOUNT=asset:bank)) $(PERIOD) $(if $(STACK),--stack '$(STACK)')

ledger: setup ## Show a payment's entries, and its accounts as Ts (PAYMENT=id), on STACK=file
	@$(PAYMENTS) ledger payment $(or $(PAYMENT),$(error Say which: make ledger PAYMENT=…)) $(if $(STACK),--stack '$(STACK)')

export: setup ## Write the journal of some days (FROM=day TO=day FORMAT=csv or beancount, OUT=file), on STACK=file
	@$(PAYMENTS) ledger export $(PERIOD) $(if $(FORMAT),--format '$(FORMAT)') $(if $(OUT),--out '$(OUT)') $(if $(STACK),--stack '$(STACK)')

verify-ledger: setup ## Read the whole ledger, and show what is not as it was written, on STACK=file
	@$(PAYMENTS) ledger verify $(if $(STACK),--stack '$(STACK)')

cost: setup ## Show what captured payments cost on AWS (PER_MONTH=1000000, POLLS=2), beside other ways to build the same
	@$(PAYMENTS) cost $(PER_MONTH) $(if $(POLLS),--polls $(POLLS))

scale: setup ## Simulate the hottest keys of the table and its indexes (N=10000000, RATE=10000, SKEW=1.0)
	@$(PAYMENTS) scale $(N) $(if $(RATE),--rate $(RATE)) $(if $(SKEW),--skew $(SKEW))

rules-test: setup ## Try the screening rules on sample payments, and show which fire (RULES=file)
	@$(PAYMENTS) rules-test $(RULES)

checkout: setup ## Serve the example checkout page (CHECKOUT_PORT=8080), on STACK=file
	@$(PAYMENTS) checkout $(if $(STACK),--stack '$(STACK)')

plan: setup ## Show what a deployment to AWS would change (ENV=dev)
	@$(PAYMENTS) plan $(or $(ENV),$(error Say where: make plan ENV=dev))

deploy: setup ## Deploy to AWS (ENV=dev), in steps if asked for (PERCENT=10 MINUTES=15), unasked with YES=1
	@$(PAYMENTS) deploy $(or $(ENV),$(error Say where: make deploy ENV=dev)) $(if $(PERCENT),--percent $(PERCENT)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(YES),--yes)

destroy: setup ## Take a deployment to AWS down, with all that it holds (ENV=dev)
	@$(PAYMENTS) destroy $(or $(ENV),$(error Say where: make destroy ENV=dev))

acceptance: setup ## Ask a deployment of its own in AWS everything, and destroy it (ENV=dev, ONLY=payments …, KEEP=1, YES=account id), or the local stack (ENV=local, STACK=file)
	@$(PAYMENTS) accept $(or $(ENV),$(error Say where: make acceptance ENV=dev)) $(foreach group,$(ONLY),--only $(group)) $(if $(KEEP),--keep) $(if $(YES),--yes '$(YES)') $(if $(STACK),--stack '$(STACK)')

rotate: setup ## Begin a new generation of a key (KEY=sealing or token, ENV=local), or end the oldest (RETIRE=1)
	@$(PAYMENTS) rotate $(or $(KEY),$(error Say which: make rotate KEY=sealing ENV=dev)) $(or $(ENV),$(error Say where: make rotate KEY=sealing ENV=dev)) $(if $(RETIRE),--retire)

picture: setup ## Draw the README's picture of the payment state machine anew
	@$(PAYMENTS) picture

permissions: setup ## Write docs/permissions.yaml, who may do what, from the plan of the stack that is up
	@$(PAYMENTS) permissions

build: setup ## Build the functions' zip and their layer for this machine
	@$(PAYMENTS) build

sbom: setup ## List what the layer is made of, as CycloneDX in build/sbom.json
	@mkdir -p build
	@PYTHONWARNINGS=ignore $(VENV)/bin/cyclonedx-py requirements requirements/lambda.txt --pyproject pyproject.toml -o build/sbom.json

test: setup $(CHECKOV)/requirements.sha ## Run all tests, in two processes (WORKERS=)
	@$(VENV)/bin/python -m pytest -n $(WORKERS)

bench: setup ## Measure speed, size, calls and growth beside their floors (SMALL=1: under three minutes; ONLY=cold …)
	@$(VENV)/bin/python -m bench $(if $(SMALL),--small) $(ONLY)

simulate: setup ## Play the workflow in a world of bad luck, RUNS=5000 times, or one run again (SEED=n)
	@$(VENV)/bin/python -m tests.simulation $(RUNS) $(if $(SEED),--seed $(SEED))

mutants: setup ## Break the product on purpose in many ways, and see that the simulation notices each
	@$(VENV)/bin/python -m tests.simulation.mutants

lint: setup $(CHECKOV)/requirements.sha ## Check style, types, imports, the state machine, the APIs' descriptions, Terraform, security, and that no secret is kept here
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml functions cli console examples local bench
	git ls-files -z --cached --others --exclude-standard | xargs -0 $(VENV)/bin/detect-secrets-hook
	$(VENV)/bin/statelint --ignore URI,FLOAT statemachine/*.json
	$(VENV)/bin/openapi-spec-validator docs/openapi.yaml docs/sparkle.yaml
	$(PAYMENTS) validate
	$(CHECKOV)/bin/checkov --quiet --compact --skip-download --framework terraform --directory terraform --var-file terraform/environments/prod.tfvars --external-checks-dir terraform/checks

lock: setup ## Lock the versions of every package anew
	set -e; for name in dev checkov; do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt; done
	set -e; for name in lambda runtime; do $(COMPILE) -c requirements/dev.txt requirements/$$name.in -o requirements/$$name.txt; done

clean: down ## Stop the stack, and remove what was built
	rm -rf build
