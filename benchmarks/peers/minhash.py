"""datasketch's MinHashLSH over word 5-grams: `minhash HELD_OUT NEW` prints the seconds for so many texts of each."""

import random
import sys
import time

WORDS = 5000


def texts(count: int, seed: int) -> list[str]:
    """Questions of 30 words, common ones more often; half end with a number, one of a hundred.

    By their numbers all could be copies of the half without one, and some of each other.
    """
    rng = random.Random(seed)
    found = [[word(int(WORDS * rng.random() ** 3)) for _ in range(30)] for _ in range(count)]
    return [" ".join(words + [str(rng.randrange(100))] * (row % 2)) for row, words in enumerate(found)]


def word(number: int) -> str:
    """One of letters alone, another for each number."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def main() -> None:
    from datasketch import MinHash, MinHashLSH

    held_out, new = texts(int(sys.argv[1]), 1), texts(int(sys.argv[2]), 2)

    def hashed(text: str) -> MinHash:
        words, found = text.split(), MinHash(num_perm=128)
        found.update_batch([" ".join(words[start : start + 5]).encode() for start in range(len(words) - 4)])
        return found

    started = time.perf_counter()
    index = MinHashLSH(threshold=0.5, num_perm=128)
    for number, text in enumerate(held_out):
        index.insert(number, hashed(text))
    for text in new:
        index.query(hashed(text))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
