"""Count the functions that one request enters: python -m tests.bench.calls [--list]

Prints functions and files of the service and of the library for `POST /v1/weights` of a new recipe with an API key. A
function counts once, in any thread, from the first byte of the request to the last one of the response.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from types import CodeType, FrameType

import fanin
import fanin_service
from fanin_service.access.keys import create
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.servers import running

FOLDERS = {"service": Path(fanin_service.__file__).parent, "library": Path(fanin.__file__).parent}
SKIPPED = ("<module>", "<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")


def calls() -> set[CodeType]:
    """Return the code of every function of the project that the request enters."""
    entered: set[CodeType] = set()
    is_counting = False

    def enter(frame: FrameType, event: str, _: object) -> None:
        if is_counting and event == "call":
            entered.add(frame.f_code)

    threading.setprofile(enter)  # for threads that start later, as the server does
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "keys.json")
        key, _ = create(path, "bench", [Right.WEIGHTS_READ])
        with running(Settings(access="keys", keys_file=path)) as server:
            for seed in range(3):
                recipe = {"seed": seed, "tensors": {"a": {"shape": [64, 32 + seed], "scheme": "he_normal"}}}
                is_counting = seed == 2  # the first requests import and fill caches
                response = server.client.post("/v1/weights", json=recipe, headers={"Authorization": f"Bearer {key}"})
                is_counting = False
                response.raise_for_status()
    threading.setprofile(None)
    return {code for code in entered if code.co_name not in SKIPPED}


def main() -> None:
    codes = calls()
    for name, folder in FOLDERS.items():
        found = [code for code in codes if folder in Path(code.co_filename).parents]
        print(f"{name}: {len(found)} functions in {len({code.co_filename for code in found})} files")
        if "--list" in sys.argv:
            print(
                *sorted(f"  {Path(code.co_filename).relative_to(folder)}: {code.co_qualname}" for code in found),
                sep="\n",
            )


if __name__ == "__main__":
    main()
