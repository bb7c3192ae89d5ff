"""How kernels are compiled and cached: four decorators, one stamp for all of their sources.

Numba looks at the file of a function to see whether its cached code is still true, but not at the files of the
functions that it calls. The stamp here is a digest of every source file of the package, so that an edit of any of them,
be it of one constant, makes all cached code stale.

Only a `maker` can make arrays. The others count no references to those they are given: each count stops the processor
for some 20 cycles, and small blocks would take a quarter to a third longer.
"""

import hashlib
import pickle
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numba
import numpy as np
from numba import config, njit, types
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps

from mimtheory.kernels.vector_code import WIDTH

__all__ = ["DISABLED", "inlined", "kernel", "maker", "part", "stamp"]

Function = TypeVar("Function", bound=Callable[..., Any])

DISABLED = bool(getattr(config, "DISABLE_JIT", 0))
_announced = False


def stamp(folder: Path = Path(__file__).parent) -> str:
    """Digest of the sources in a folder, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


_STAMP = stamp()
_DIGEST = hashlib.sha256().digest_size


class _Files(IndexDataCacheFile):
    """The machine code of a function, a file for each version of the sources, kind of processor and types of arguments.

    Numba's own has an index beside the code: a process that ends between the two leaves new names for old code, and two
    that compile at a time can name each other's. Here a file's name says what is in it, and its first bytes are the
    digest of the others.
    """

    def __init__(self, folder: str, base: str) -> None:
        super().__init__(folder, base, _STAMP)
        self._folder, self._base = Path(folder), base

    def _path(self, key: object) -> Path:
        digest = hashlib.sha256(repr((numba.__version__, key)).encode()).hexdigest()
        return self._folder / f"{self._base}.{_STAMP[:16]}.{digest}.nbc"

    def load(self, key: object) -> Any:
        """What `save` was given, None where there is nothing or something else."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST], content[_DIGEST:]
        return pickle.loads(code) if hashlib.sha256(code).digest() == digest else None

    def save(self, key: object, data: object) -> None:
        """Write the code as a whole or not at all, and remove that of other sources."""
        path, code = self._path(key), dumps(data)
        part = path.with_name(f"{uuid.uuid4().hex}.part")
        try:
            part.write_bytes(hashlib.sha256(code).digest() + code)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        for other in self._folder.glob(f"{self._base.rpartition('-')[0]}-*.nbc"):
            if f".{_STAMP[:16]}." not in other.name:
                other.unlink(missing_ok=True)


class _StampedCache(FunctionCache):
    """Numba's cache of a function, valid as long as no source of the package changes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            _announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # on a full disk every process compiles for itself
            super().save_overload(sig, data)


class _NoCache(NullCache):
    """In place of the cache where no folder can be written to: every process compiles for itself."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _announce()


def _cache(function: Callable[..., Any]) -> _StampedCache | _NoCache:
    try:
        return _StampedCache(function)
    except RuntimeError:  # Numba found no folder
        return _NoCache()


def _plain(function: Function) -> Function:
    """The Python function itself, as silent about what is not a number as compiled code."""

    @wraps(function)
    def silent(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    plain: Any = silent
    return plain


class _Part(CPUDispatcher):
    """What other compiled code calls. There is no way into it from Python, and a call of its code would be a crash."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise TypeError(f"{self.py_func.__name__} is part of kernels: only compiled code can call it")


class _Wide(JITCodeLibrary):
    """LLVM code whose loops use the widest registers of the machine, as the tiles do.

    On its own LLVM takes half of them where processors once slowed down for whole ones; between tiles that use them
    anyway it is the change that costs.
    """

    def add_ir_module(self, ir_module: Any) -> None:
        for function in ir_module.functions:
            if not function.is_declaration:
                # llvmlite's `add` refuses what it does not list
                set.add(function.attributes, f'"prefer-vector-width"="{WIDTH}"')
        super().add_ir_module(ir_module)


class _Linked(_Wide):
    """The LLVM code of a part: callers link it, optimise it with their own and make machine code of both."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    @property
    def codegen(self) -> Any:
        # there is no machine code that could be told where the environment of a call is
        return SimpleNamespace(set_env=lambda name, env: None)


class _KernelCompiler(Compiler):
    """Numba's compiler, into a `_Wide` library that the cache can hold."""

    def define_pipelines(self) -> Any:
        self.state.library = _Wide(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        return super().define_pipelines()


class _PartCompiler(Compiler):
    """Numba's compiler, into a `_Linked` library."""

    def define_pipelines(self) -> Any:
        self.state.library = _Linked(self.state.targetctx.codegen(), "part")
        return super().define_pipelines()


def kernel(function: Function) -> Function:
    """Compile at the first call or load from the cache; releases the lock of the interpreter while it runs."""
    return _kernel(function, _nrt=False)


def maker(function: Function) -> Function:
    """A kernel that makes arrays."""
    return _kernel(function, _nrt=True)  # else it would do as its callers


def _kernel(function: Function, **options: Any) -> Any:
    if DISABLED:
        return _plain(function)
    compiled = _compiled(function, pipeline_class=_KernelCompiler, **options)
    compiled._cache = _cache(function)
    return compiled


def part(function: Function) -> Function:
    """The same for a function that kernels alone call: without a way in from Python, which would have to be compiled
    too, and in the cache as part of its callers.

    It may raise, but not use objects of Python, as `print` does: where these are is told to machine code alone, and a
    caller that has let go of the lock of the interpreter would wait for them without end.
    """
    return _plain(function) if DISABLED else _part(function)


def inlined(function: Function) -> Function:
    """A part that must belong to its callers' loops, for these to become vector code."""
    return _plain(function) if DISABLED else _part(function, forceinline=True)


def _part(function: Function, **options: Any) -> Any:
    compiled = _compiled(function, _nrt=False, no_cpython_wrapper=True, pipeline_class=_PartCompiler, **options)
    compiled.__class__ = _Part
    return compiled


def _compiled(function: Function, **options: Any) -> Any:
    compile_: Any = njit  # its types lack these options
    compiled = compile_(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    typed = compiled.get_call_template
    # else a constant among the arguments would get a copy of the function for itself
    compiled.get_call_template = lambda args, kws: typed(tuple(types.unliteral(kind) for kind in args), kws)
    return compiled


def _announce() -> None:
    """Say once why this call takes so long."""
    global _announced
    if not _announced:
        _announced = True
        print("mimtheory: compiling kernels for this machine, once (about 20 seconds)", file=sys.stderr)
