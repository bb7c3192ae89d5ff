"""LLVM vector code from Python: the width of the registers, and the parts that the tiles share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import config, types
from numba.core import cgutils

__all__ = ["REGISTERS", "WIDTH", "Code", "lanes", "signature_of"]


def _vector_bits() -> tuple[int, int]:
    """Bits and number of the vector registers of the machine that Numba compiles for."""
    features = getattr(config, "CPU_FEATURES", None)
    if features is None:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    present = {name[1:] for name in features.split(",") if name.startswith("+")}
    if "avx512f" in present:
        return 512, 32
    if "neon" in present:
        return 128, 32
    return (256, 16) if "avx" in present else (128, 16)


WIDTH, REGISTERS = _vector_bits()


def lanes(itemsize: int) -> int:
    """Numbers in a vector register."""
    return WIDTH // (8 * itemsize)


class Code:
    """The parts of LLVM code that the tiles share: pointers, vectors, sums."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder, self.context = builder, context
        self.element = context.get_data_type(signature.args[0].dtype)
        self.size = lanes(signature.args[0].dtype.bitwidth // 8)
        self.vector = ir.VectorType(self.element, self.size)
        self._signature, self._arguments = signature, arguments

    def integer(self, k: int) -> Any:
        return ir.Constant(ir.IntType(64), k)

    def array(self, number: int) -> Any:
        """Pointer to the data of an argument that is an array."""
        kind = self._signature.args[number]
        return self.context.make_array(kind)(self.context, self.builder, self._arguments[number]).data

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """The pointer moved by the sum of the offsets."""
        for offset in offsets:
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def times(self, a: Any, k: int) -> Any:
        return self.builder.mul(a, self.integer(k))

    def as_vector(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, pointer: Any) -> Any:
        value = self.builder.load(self.as_vector(pointer))
        value.align = _alignment(self.element)
        return value

    def splat(self, pointer: Any) -> Any:
        """A vector of copies of one number in memory."""
        scalar = self.builder.load(pointer)
        empty = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.size), [0] * self.size)
        return self.builder.shuffle_vector(one, empty, mask)

    def sums(self, count: int) -> list[Any]:
        """Sums that start at 0; LLVM keeps them in registers."""
        zero = ir.Constant(self.vector, [0.0] * self.size)
        slots = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for slot in slots:
            self.builder.store(zero, slot)
        return slots

    def add_product(self, slot: Any, a: Any, b: Any) -> None:
        self.builder.store(self.product_and_sum(a, b, self.builder.load(slot)), slot)

    def product_and_sum(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._fmuladd, [a, b, c])

    @contextmanager
    def pieces(self, count: Any, most: int) -> Iterator[tuple[Any, Any]]:
        """A loop over start and length of pieces of at most `most`."""
        with cgutils.for_range_slice(self.builder, self.integer(0), count, self.integer(most)) as (start, _):
            rest = self.builder.sub(count, start)
            short = self.builder.icmp_signed("<", rest, self.integer(most))
            yield start, self.builder.select(short, rest, self.integer(most))

    def total(self, vector: Any) -> Any:
        """The sum of the lanes, by halves."""
        size = self.size
        while size > 1:
            size //= 2
            halves = [
                self.builder.shuffle_vector(
                    vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(start, start + size)))
                )
                for start in (0, size)
            ]
            vector = self.builder.fadd(*halves)
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    def put(self, values: list[tuple[Any, Any]], fresh: Any) -> None:
        """Store each value at its pointer if `fresh`, else add it to what is there."""
        with self.builder.if_else(fresh) as (new, old):
            with new:
                for value, pointer in values:
                    self.store(value, pointer)
            with old:
                for value, pointer in values:
                    target = self.as_vector(pointer) if value.type == self.vector else pointer
                    before = self.builder.load(target)
                    before.align = _alignment(self.element)
                    self.store(self.builder.fadd(before, value), pointer)

    def store(self, value: Any, pointer: Any) -> None:
        target = self.as_vector(pointer) if value.type == self.vector else pointer
        self.builder.store(value, target).align = _alignment(self.element)

    @property
    def _fmuladd(self) -> Any:
        name = f"llvm.fmuladd.v{self.size}{'f64' if self.element == ir.DoubleType() else 'f32'}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def prefetch(self, pointer: Any, cache: int = 2) -> None:
        """Ask for a line of the first or second cache; harmless where there is none."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        how = [ir.Constant(number, k) for k in (0, 4 - cache, 1)]  # to read, how near, data
        self.builder.call(function, [self.builder.bitcast(pointer, byte), *how])

    def opaque(self, value: Any) -> Any:
        """The same value, of which LLVM knows nothing any more: it makes no other sums of it than it is told to, and
        reads nothing through such a pointer before this place."""
        kind = ir.FunctionType(value.type, [value.type])
        return self.builder.call(ir.InlineAsm(kind, "", "=r,0", side_effect=True), [value])

    def row_offsets(self, stride: Any, count: int) -> list[Any]:
        """Distances in bytes of the first `count` rows: multiples of the first, third, fifth ... of them, which an
        address contains for nothing, so that rows take half as many registers."""
        byte = self.times(stride, _alignment(self.element))
        odd = {k: self.opaque(self.times(byte, k)) for k in range(1, count, 2)}
        offsets = [self.integer(0)]
        for r in range(1, count):
            power = r & -r
            offsets.append(self.times(odd[r // power], power))
        return offsets

    def by_bytes(self, pointer: Any, *offsets: Any) -> Any:
        """The pointer moved by the sum of the offsets in bytes."""
        byte = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        return self.builder.bitcast(self.at(byte, *offsets), pointer.type)

    def row_pointers(self, start: Any, stride: Any, rows: Any, count: int) -> list[Any]:
        """Pointers to `count` rows, the last of `rows` again where there are fewer."""
        last = self.builder.sub(rows, self.integer(1))
        pointers = []
        for r in range(count):
            there = self.builder.icmp_signed("<", self.integer(r), rows)
            row = self.builder.select(there, self.integer(r), last)
            pointers.append(self.at(start, self.builder.mul(row, stride)))
        return pointers


def _alignment(element: Any) -> int:
    return 8 if element == ir.DoubleType() else 4


def signature_of(arguments: tuple[Any, ...]) -> Any:
    return types.void(*arguments)
