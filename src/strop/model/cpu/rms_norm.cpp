// Root-mean-square norm of rows in one pass each way (Zhang and Sennrich 2019), with float32 arithmetic:
//
//   y = x w / sqrt(mean(x^2) + eps)
//
// x, y and gradients [rows, d], contiguous, d a multiple of 16; w float32 [d].

#include <vector>

#include "rows.h"

using namespace strop;

constexpr int PARTS = 64;  // of the rows, summed apart: so sums do not depend on how many threads there are

extern "C" {

// r = 1 / sqrt(mean(x^2) + eps), float32 [rows], is kept for the backward pass.
void KERNEL(strop_rms_norm)(const Number* x, const float* w, Number* y, float* r, long rows, long d, float eps) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < rows; i++) r[i] = rms_norm_row(x + i * d, w, y + i * d, d, eps);
}

// dx = r (g w - x r^2 mean(g w x));  dw = sum over rows of g x r, float32. dw may be null: w is frozen.
void KERNEL(strop_rms_norm_backward)(const Number* x, const float* w, const float* r, const Number* g, Number* dx, float* dw,
                                     long rows, long d) {
    std::vector<float> sums(dw ? (size_t)PARTS * d : 0);
#pragma omp parallel for schedule(static)
    for (int t = 0; t < PARTS; t++) {
        float* mine = dw ? sums.data() + (size_t)t * d : nullptr;
        for (long i = rows * t / PARTS; i < rows * (t + 1) / PARTS; i++) {
            Floats dot{};
            for (long j = 0; j < d; j += LANES) {
                const Floats product = load(x + i * d + j) * load(g + i * d + j);
                dot += product * load(w + j);
                if (mine) store(mine + j, load(mine + j) + product * r[i]);
            }
            const float back = sum_of(dot) / d * r[i] * r[i];
            for (long j = 0; j < d; j += LANES)
                store(dx + i * d + j, (load(g + i * d + j) * load(w + j) - load(x + i * d + j) * back) * r[i]);
        }
    }
    for (long j = 0; dw && j < d; j++) {
        dw[j] = 0;
        for (int t = 0; t < PARTS; t++) dw[j] += sums[(size_t)t * d + j];
    }
}
}
