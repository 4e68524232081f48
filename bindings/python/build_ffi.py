"""Writes the C source of libpresence._ffi. The declarations are read from presence.h, presence/sim.h and glue.h, so there is no second
copy that could differ; the C compiler checks them once more.

usage: python3 build_ffi.py OUTPUT.c PRESENCE_H SIM_H GLUE_H
"""

import re
import sys
from pathlib import Path

from cffi import FFI


def declarations(path: Path) -> str:
    """A header as cffi reads it: no comments, no preprocessor, no attributes."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    text = re.sub(r'^#ifdef __cplusplus\n.*?^#endif\n', "", text, flags=re.S | re.M)
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return re.sub(r"\bPRESENCE_API\b", "", text)


def main() -> None:
    output, *headers = (Path(argument) for argument in sys.argv[1:])
    ffi = FFI()
    for header in headers:
        ffi.cdef(declarations(header))
    ffi.set_source("libpresence._ffi", '#include "glue.h"\n#include "presence/sim.h"\n')
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    main()
