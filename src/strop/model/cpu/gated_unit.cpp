// The product of a gated linear unit in one pass each way (SwiGLU, Shazeer 2020), with float32 arithmetic:
//
//   y = silu(a) b,  silu(a) = a / (1 + e^-a)
//
// a, b, y and gradients: n numbers each, contiguous, n a multiple of 16.

#include "rows.h"

using namespace strop;

extern "C" {

void KERNEL(strop_silu_gate)(const Number* a, const Number* b, Number* y, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i += LANES) store(y + i, silu_gate(load(a + i), load(b + i)));
}

// da = g b s (1 + a (1 - s)) with s = 1 / (1 + e^-a);  db = g a s.
void KERNEL(strop_silu_gate_backward)(const Number* a, const Number* b, const Number* g, Number* da, Number* db, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i += LANES) {
        const Floats x = load(a + i), up = load(b + i), grad = load(g + i);
        const Floats s = 1.f / (1.f + exp_minus(x));
        store(da + i, grad * up * (s * (x * (1.f - s) + 1.f)));
        store(db + i, grad * (x * s));
    }
}
}
