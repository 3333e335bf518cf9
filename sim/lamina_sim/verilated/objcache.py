"""Compile once: a compiler launcher that keeps objects by the content they are made from.

Verilator's makefiles put ``$(OBJCACHE)`` before the compiler. Most of what a simulation is built
from is Verilator's runtime, the same sources for every module, so the second module finds it here.
Runs as a plain script, with the standard library only: it starts once per object.

    objcache.py FOLDER COMPILER ARGUMENT...
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile


def main(folder: str, command: list[str]) -> int:
    """Run the compiler ``command``, or copy the object of an equal one; return its exit code."""
    output = command[command.index("-o") + 1] if "-o" in command else ""
    key = _key(command, output) if "-c" in command and output.endswith(".o") else None
    if key is None:
        return subprocess.run(command, check=False).returncode
    kept = os.path.join(folder, key[:2], key)
    if os.path.exists(kept):
        shutil.copyfile(kept, output)
        return 0
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(kept))
        os.close(handle)
        shutil.copyfile(output, temporary)
        os.replace(temporary, kept)
    return code


def _key(command: list[str], output: str) -> str | None:
    """Hash the preprocessed source, the arguments and the compiler; None where that fails."""
    place = command.index("-o")
    arguments = command[:place] + command[place + 2 :]
    # The dependency file is written here, as an object that is copied comes without one; -P leaves
    # out line markers, which name the build folder.
    depends = ["-MF", output[:-2] + ".d", "-MT", output]
    preprocess = [word for word in arguments if word != "-c"] + ["-E", "-P", *depends]
    source = subprocess.run(preprocess, capture_output=True, check=False)
    compiler = shutil.which(command[0])
    if source.returncode != 0 or compiler is None:
        return None
    status = os.stat(compiler)
    identity = repr((arguments, compiler, status.st_size, status.st_mtime_ns)).encode()
    return hashlib.sha256(identity + source.stdout).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
