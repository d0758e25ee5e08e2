// Rotary position embedding in one pass (Su et al. 2021, RoFormer), with float32 arithmetic:
//
//   y = x cos + rotate(x) sin,  rotate(a, b) = (-b, a) over the halves of a head
//
// x and y [tokens, heads, d], d a multiple of 32: element (t, h, j) of x at t step_t + h step_h + j, y contiguous; cos and
// sin [tokens, d], contiguous.

#include "rows.h"

using namespace strop;

extern "C" {

// back: the transpose, for gradients.
void KERNEL(strop_rotary)(const Number* x, const Number* cos, const Number* sin, Number* y, long tokens, long heads, long d,
                          long step_t, long step_h, int back) {
#pragma omp parallel for schedule(static)
    for (long t = 0; t < tokens; t++)
        for (long h = 0; h < heads; h++)
            rotate_row(x + t * step_t + h * step_h, cos + t * d, sin + t * d, y + (t * heads + h) * d, d, back);
}
}
