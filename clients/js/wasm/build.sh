#!/bin/sh
# Compiles the kernels of the Python package to WebAssembly, with SIMD128 and without it. It needs clang and lld.
# -ffp-contract=off: a product and a sum are rounded one by one (clients/SPEC.md). Relaxed SIMD may fuse them, so it
# stays off.
set -eu
cd "$(dirname "$0")"
csrc=../../python/fanin/backends/csrc
out=${1:-../src}
clang=${CLANG:-clang}
exports='fanin_abi fanin_panel fanin_group_bytes fanin_padding fanin_has_level fanin_fill fanin_orthogonal fanin_clear_zeros fanin_scratch'
build() {
    target=$1
    shift
    $clang --target=wasm32 -mbulk-memory "$@" -O3 -std=c11 -ffp-contract=off -ffreestanding -fno-builtin-malloc \
        -fvisibility=hidden -nostdlib -I include -I "$csrc" -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=262144 \
        $(printf -- '-Wl,--export=%s ' $exports) -Wl,--export=__heap_base \
        "$csrc/baseline.c" "$csrc/native.c" "$csrc/orthogonal.c" "$csrc/quantize.c" "$csrc/sparse.c" shims.c -o "$out/$target"
}
build kernels.simd.wasm -msimd128
build kernels.plain.wasm
