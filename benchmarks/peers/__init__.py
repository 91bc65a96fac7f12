"""Other libraries that ask a provider, each a script of its own here, run by its own Python.

    python -m benchmarks.peers.NAME BASE_URL ROWS OUT FOLDER [--concurrency 64] [--parse] [--resume]

benchmarks/peers/rows.py says what the arguments are.
"""

# name of the script -> what its environment needs; nothing: this project's environment
PEERS: dict[str, list[str]] = {
    "ours": [],
    "chat_openai": [],
    "aiohttp_loop": ["aiohttp==3.14.5"],
    "distilabel": ["distilabel[openai,instructor]==1.5.3"],
    "curator": ["bespokelabs-curator==0.1.31"],
    "sdg_hub": ["sdg-hub==0.9.4"],
    "data_designer": ["data-designer==0.9.7"],
}
