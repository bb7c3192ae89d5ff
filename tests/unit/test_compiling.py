"""The cache of compiled code: found again, never stale, and compiling is announced."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mimtheory
from mimtheory.kernels import warm
from mimtheory.kernels.compiling import stamp

# the compiled function stands in one file and calls one in another, which is edited
PROGRAM = """
from mimtheory.kernels.pointwise import loss_slope
print(loss_slope(4, 1.0, 0.0))
"""


COMPILED_CODE = {"NUMBA_DISABLE_JIT": "0"}


def run(home: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(home), "NUMBA_CACHE_DIR": str(home / "cache")} | variables
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def copied(folder: Path) -> Path:
    package = Path(mimtheory.__file__).parent
    shutil.copytree(package, folder / "mimtheory", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copied(tmp_path)


def edit(copy: Path) -> None:
    """Exchange the arguments of a function: same size, same time, only the content differs."""
    edited = copy / "mimtheory" / "kernels" / "elementary.py"
    before, text = edited.stat(), edited.read_text()
    assert text.count("math.copysign(t, x)") == 1
    edited.write_text(text.replace("math.copysign(t, x)", "math.copysign(x, t)"))
    os.utime(edited, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert edited.stat().st_size == before.st_size


def test_an_edited_constant_is_never_answered_from_the_cache(copy: Path) -> None:
    first = run(copy, PROGRAM, **COMPILED_CODE)
    assert first.stderr.startswith("mimtheory: compiling")
    again = run(copy, PROGRAM, **COMPILED_CODE)
    assert again.stdout == first.stdout
    assert again.stderr == ""
    edit(copy)
    assert run(copy, PROGRAM, **COMPILED_CODE).stdout == "1.0\n" != first.stdout


def test_a_full_disk_leaves_no_stale_code_behind(copy: Path) -> None:
    """Numba's own cache has the new name of the old code after this."""
    run(copy, PROGRAM, **COMPILED_CODE)
    edit(copy)
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" + PROGRAM
    assert [run(copy, text, **COMPILED_CODE).stdout for text in (full, PROGRAM, PROGRAM)] == ["1.0\n"] * 3


def test_damaged_code_is_compiled_anew(copy: Path) -> None:
    first = run(copy, PROGRAM, **COMPILED_CODE)
    for damage in (lambda code: code[:1000], lambda code: code[:-1] + bytes([code[-1] ^ 1]), lambda code: b""):
        (file,) = (copy / "cache").rglob("*.nbc")
        file.write_bytes(damage(file.read_bytes()))
        again = run(copy, PROGRAM, **COMPILED_CODE)
        assert (again.stdout, again.stderr) == (first.stdout, first.stderr)
    assert run(copy, PROGRAM, **COMPILED_CODE).stderr == ""


def test_where_nothing_can_be_written_every_process_compiles_for_itself(copy: Path) -> None:
    # a locator that finds a place for notebooks alone
    nowhere = COMPILED_CODE | {"NUMBA_CACHE_LOCATOR_CLASSES": "_IPythonCacheLocator"}
    said = [run(copy, PROGRAM, **nowhere) for _ in range(2)]
    assert said[0].stdout == said[1].stdout == run(copy, PROGRAM, NUMBA_DISABLE_JIT="1").stdout
    assert said[0].stderr == said[1].stderr != ""
    assert not list(copy.rglob("*.nbc"))
    seen = run(copy, "from mimtheory.diagnosis import _cache\nprint(_cache())", **nowhere).stdout
    assert "for want of a folder to write to" in seen


def test_code_of_other_sources_is_removed_and_that_of_other_types_is_not(copy: Path) -> None:
    folder = copy / "cache"
    single = PROGRAM.replace("1.0", "numpy.float32(1)").replace("from", "import numpy\nfrom", 1)
    run(copy, PROGRAM, **COMPILED_CODE)
    run(copy, single, **COMPILED_CODE)
    before = {file.name for file in folder.rglob("*.nbc")}
    edit(copy)
    run(copy, PROGRAM, **COMPILED_CODE)
    after = {file.name for file in folder.rglob("*.nbc")}
    assert (len(before), len(after), before & after) == (2, 1, set())


def test_without_compilation_the_same_functions_run_in_python(copy: Path) -> None:
    done = run(copy, PROGRAM, NUMBA_DISABLE_JIT="1")
    assert float(done.stdout) == pytest.approx(0.7615941559557649, rel=1e-15)
    assert done.stderr == ""


def test_the_stamp_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    stamps = [stamp(tmp_path)]
    (tmp_path / "a.py").write_text("x = 2\n")
    stamps.append(stamp(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    stamps.append(stamp(tmp_path))
    assert len(set(stamps)) == 3
    assert stamp(tmp_path) == stamps[-1]


def test_kernels_that_are_warm_take_no_time() -> None:
    warm()
    # four passes over two samples
    assert warm() < 0.5


CALL = """
from mimtheory.kernels.pointwise import loss_slope
from mimtheory.kernels.elementary import tanh
loss_slope(4, 1.0, 0.0)
try:
    tanh(1.0)
except TypeError as error:
    print(error)
"""


def test_what_only_kernels_call_cannot_be_called_from_python_even_after_compiling(copy: Path) -> None:
    said = run(copy, CALL, NUMBA_DISABLE_JIT="0").stdout
    assert said == "tanh is part of kernels: only compiled code can call it\n"


# machine code of `tanh` would be made for itself and again in its caller
MADE = """
from numba.core import codegen
from mimtheory.kernels.pointwise import loss_slope
made = []
add = codegen.JITCPUCodegen._add_module
def listen(self, module):
    made.extend(f.name for f in module.functions if not f.is_declaration)
    return add(self, module)
codegen.JITCPUCodegen._add_module = listen
print(loss_slope(4, 1.0, 0.0) > 0.76)
print(any("loss_slope" in name for name in made), [name for name in made if "elementary" in name])
"""


def test_what_only_kernels_call_is_machine_code_in_its_callers_alone(copy: Path) -> None:
    assert run(copy, MADE, NUMBA_DISABLE_JIT="0").stdout == "True\nTrue []\n"


# the same parts with constants and with variables: each is compiled once for a precision; in the kernel of passes, what
# LLVM is told of some of its functions, and the widest vectors in them; in that of Gaussians, products of 64 bits, each
# as long as three of 32, where the processor has them
COMPILED = """
import collections
import re
from numba.core import event
from mimtheory.kernels import warm
from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.pointwise import activate
from mimtheory.kernels.sweep import sweep
from mimtheory.kernels.vector_code import WIDTH
names = []
class Listener(event.Listener):
    def on_start(self, event):
        names.append((event.data["dispatcher"].py_func.__module__, event.data["dispatcher"].py_func.__name__))
    def on_end(self, event):
        pass
with event.install_listener("numba:compile", Listener()):
    warm()
ours = collections.Counter(name for module, name in names if module.startswith("mimtheory.kernels.") and name[0] != "<")
# one for each number of coefficients: 6, 7, 11, 12, 13 and, in single precision, 4
print(ours["sweep"], ours["add"], ours.pop("polynomial"), max(ours.values()))
code = next(iter(sweep.inspect_llvm().values()))
for name in ("_slopes", "_activate_sine", "defects"):
    text = next(text for text in code.split("\\ndefine ") if name in text[: text.index("\\n")])
    group = re.search("#[0-9]+", text)[0]
    told = int(re.search(f"attributes {group} = .*prefer-vector-width.=.([0-9]+)", code)[1])
    found = 64 * max(map(int, re.findall("<([0-9]+) x double>", text)))
    print(name, WIDTH // told, WIDTH // found)
code = next(iter(activate.inspect_llvm().values()))
print(code.count(f"fdiv <{WIDTH // 64} x double>") >= 12)
for code in fill_rows.inspect_asm().values():
    print(code.count("pmuludq") > 0, code.count("vpmullq"))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return run(copied(tmp_path_factory.mktemp("compiled")), COMPILED, NUMBA_DISABLE_JIT="0").stdout.splitlines()


def test_a_constant_among_the_arguments_makes_no_copy_of_a_kernel(compiled: list[str]) -> None:
    assert compiled[0] == "2 2 6 2"


def test_loops_are_as_wide_as_the_registers(compiled: list[str]) -> None:
    assert compiled[1:4] == ["_slopes 1 1", "_activate_sine 1 1", "defects 1 1"]


def test_loops_over_activations_are_vector_code(compiled: list[str]) -> None:
    """By their divisions: logcosh has three, sqrt, silu and softplus two, utanh, gelu and tanh one; LLVM may unroll."""
    assert compiled[4] == "True"


def test_the_generator_multiplies_words_of_32_bits_alone(compiled: list[str]) -> None:
    assert len(compiled[5:]) == 2
    for line in compiled[5:]:
        assert line == "True 0" or platform.machine() not in ("x86_64", "AMD64")


# a reference that is counted costs more than a small product
ARRAYS = """
import numpy as np
from numba.core.errors import NumbaError
from mimtheory.kernels.compiling import kernel, maker, part
def zeros(n):
    return np.zeros(n).sum()
inner = part(zeros)
for decorator in (kernel, maker, part):
    function = decorator(zeros) if decorator is not part else maker(lambda n: inner(n))
    try:
        print(function(3))
    except NumbaError:
        print("refused")
"""


def test_only_a_maker_makes_arrays(tmp_path: Path) -> None:
    program = tmp_path / "arrays.py"
    program.write_text(ARRAYS)
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(program)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n0.0\nrefused\n"
