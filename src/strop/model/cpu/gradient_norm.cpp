// sum of x_i^2 over a tensor at the speed of memory: for the norm of all gradients, which stands between the backward
// passes of a step and its update. Contiguous, bfloat16 or float32, any length. Summed in float64: how the numbers are
// shared among ranks is then not seen in the result, which scales every update.

#include <algorithm>
#include <vector>

#include "bf16.h"

using namespace strop;

namespace {

constexpr long BLOCK = 1 << 15;  // by one thread, so that the result is the same for any number of them

inline void add_squares(__m512 x, __m512d* sums) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    sums[0] = _mm512_fmadd_pd(low, low, sums[0]);
    sums[1] = _mm512_fmadd_pd(high, high, sums[1]);
}

template <class T>
double sum_of_block(const T* x, long n) {
    __m512d sums[8] = {};
    long i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++) add_squares(load(x + i + k * LANES), sums + 2 * k);
    for (; i < n; i += LANES) {
        T last[LANES] = {};
        std::copy(x + i, x + std::min(i + LANES, n), last);
        add_squares(load(last), sums);
    }
    for (int k = 1; k < 8; k++) sums[0] = _mm512_add_pd(sums[0], sums[k]);
    return _mm512_reduce_add_pd(sums[0]);
}

template <class T>
double sum_of_squares(const T* x, long n) {
    const long blocks = (n + BLOCK - 1) / BLOCK;
    std::vector<double> sums(blocks);
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (long b = 0; b < blocks; b++) sums[b] = sum_of_block(x + b * BLOCK, std::min(BLOCK, n - b * BLOCK));
    double total = 0;
    for (const double sum : sums) total += sum;
    return total;
}

}  // namespace

// x: bfloat16 if half, else float32, [n].
extern "C" void strop_sum_of_squares(const void* x, int half, long n, double* sum) {
    *sum = half ? sum_of_squares((const bf16*)x, n) : sum_of_squares((const float*)x, n);
}
