// Rotary position embedding in one pass (Su et al. 2021, RoFormer), bfloat16 with float32 arithmetic:
//
//   y = x cos + rotate(x) sin,  rotate(a, b) = (-b, a) over the halves of a head
//
// x and y [tokens, heads, d], d a multiple of 32: element (t, h, j) of x at t step_t + h step_h + j, y contiguous; cos and
// sin [tokens, d], contiguous.

#include "bf16.h"

using namespace strop;

extern "C" {

// back: the transpose, for gradients.
void strop_rotary(const bf16* x, const bf16* cos, const bf16* sin, bf16* y, long tokens, long heads, long d, long step_t,
                  long step_h, int back) {
    const long half = d / 2;
    const __m512 sign = _mm512_set1_ps(back ? -1.f : 1.f);
#pragma omp parallel for schedule(static)
    for (long t = 0; t < tokens; t++) {
        for (long j = 0; j < half; j += LANES) {
            const __m512 c1 = load(cos + t * d + j), c2 = load(cos + t * d + half + j);
            // of the two sines, the transpose takes the other half's
            const __m512 s1 = _mm512_mul_ps(sign, load(sin + t * d + j + (back ? half : 0)));
            const __m512 s2 = _mm512_mul_ps(sign, load(sin + t * d + j + (back ? 0 : half)));
            for (long h = 0; h < heads; h++) {
                const bf16* from = x + t * step_t + h * step_h + j;
                bf16* to = y + (t * heads + h) * d + j;
                const __m512 a = load(from), b = load(from + half);
                store(to, _mm512_fmsub_ps(a, c1, _mm512_mul_ps(b, s1)));
                store(to + half, _mm512_fmadd_ps(b, c2, _mm512_mul_ps(a, s2)));
            }
        }
    }
}
}
