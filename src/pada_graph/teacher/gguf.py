"""A GGUF file as a chat model, served in process by llama.cpp (xllamacpp): a teacher without account or network."""

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult

_LOADING = threading.Lock()


class GgufError(Exception):
    """What llama.cpp answered instead of a completion; `code` is its HTTP status."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class GgufChatModel(BaseChatModel):
    """One GGUF file. Models with the same file and sizes share one copy in memory, and its slots."""

    path: str
    temperature: float | None = None  # None: llama.cpp's own default
    max_tokens: int | None = None  # None: as far as the context reaches
    seed: int | None = None
    n_ctx: int = 4096  # tokens of prompt and reply together, for each call
    n_parallel: int = 4  # calls decoded together; more wait
    n_threads: int | None = None  # None: all cores

    def model_post_init(self, context: Any) -> None:
        """Refuse a file that is not there before anything else starts.

        Raises:
            ValueError: no such file, or not GGUF.
        """
        super().model_post_init(context)
        try:
            with Path(self.path).expanduser().open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be read ({error.strerror})") from error
        if magic != b"GGUF":
            raise ValueError(f"{self.path}: not a GGUF file")

    @property
    def _llm_type(self) -> str:
        return "gguf"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        sampling = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed, "stop": stop}
        request = {name: value for name, value in sampling.items() if value is not None}
        with _LOADING:
            server = _server(self.path, self.n_ctx, self.n_parallel, self.n_threads or os.cpu_count() or 1)
        reply = server.handle_chat_completions({"messages": convert_to_openai_messages(messages), **request, **kwargs})
        if "error" in reply:
            raise GgufError(reply["error"]["code"], reply["error"]["message"])
        choice, usage = reply["choices"][0], reply["usage"]
        message = AIMessage(
            choice["message"]["content"] or "",
            response_metadata={"finish_reason": choice["finish_reason"], "model_name": self.path},
            usage_metadata={
                "input_tokens": usage["prompt_tokens"],
                "output_tokens": usage["completion_tokens"],
                "total_tokens": usage["total_tokens"],
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


@lru_cache
def _server(path: str, n_ctx: int, n_parallel: int, n_threads: int) -> Any:
    """Load the model once a process. xllamacpp also opens a port on 127.0.0.1 for it, which nothing here uses."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(Path(path).expanduser())
    params.n_parallel = n_parallel
    params.n_ctx = n_ctx * n_parallel  # llama.cpp divides it among the slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads
    params.verbosity = -1
    return xllamacpp.Server(params)
