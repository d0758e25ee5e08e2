// The numbers that a source is compiled for: bfloat16, with float32 arithmetic; or, with -DFLOAT32, float32 on any processor.
//
// Either way there are, for vectors `Floats` of LANES float32 numbers: load, store, every, exp, sum_of, largest_of.
#pragma once

#ifdef FLOAT32
#include "wide.h"

#define KERNEL(name) name##_f32

namespace strop {
using Number = float;
using Floats = Wide;
constexpr int LANES = WIDE;
}  // namespace strop
#else
#include "bf16.h"

#define KERNEL(name) name

namespace strop {
using Number = bf16;
using Floats = __m512;
}  // namespace strop
#endif
