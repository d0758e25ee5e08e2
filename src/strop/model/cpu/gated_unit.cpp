// The product of a gated linear unit in one pass each way (SwiGLU, Shazeer 2020), bfloat16 with float32 arithmetic:
//
//   y = silu(a) b,  silu(a) = a / (1 + e^-a)
//
// a, b, y and gradients: n numbers each, contiguous, n a multiple of 16.

#include "rows.h"

using namespace strop;

extern "C" {

void strop_silu_gate(const bf16* a, const bf16* b, bf16* y, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i += LANES) store(y + i, silu_gate(load(a + i), load(b + i)));
}

// da = g b s (1 + a (1 - s)) with s = 1 / (1 + e^-a);  db = g a s.
void strop_silu_gate_backward(const bf16* a, const bf16* b, const bf16* g, bf16* da, bf16* db, long n) {
    const __m512 one = _mm512_set1_ps(1.f);
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i += LANES) {
        const __m512 x = load(a + i), up = load(b + i), grad = load(g + i);
        const __m512 e = exp_minus(x);
        const __m512 s = _mm512_div_ps(one, _mm512_add_ps(one, e));
        const __m512 slope = _mm512_mul_ps(s, _mm512_fmadd_ps(x, _mm512_sub_ps(one, s), one));
        store(da + i, _mm512_mul_ps(_mm512_mul_ps(grad, up), slope));
        store(db + i, _mm512_mul_ps(grad, _mm512_mul_ps(x, s)));
    }
}
}
