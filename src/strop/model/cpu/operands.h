// What kernels of a decoder read: weights with their adapters, and keys and values in pages; N is bfloat16 or float32.
#pragma once
#include <omp.h>

#include <cstdint>

namespace strop {
namespace {

constexpr int PAGE = 64;  // tokens

// A weight w [n, k], or in its place the integers q of `scale[n] q[n, k]`; and, of rank > 0, its adapter: x w^T + low b^T
// with low [m, rank], b [n, rank].
template <class N>
struct Weight {
    const N* w;
    const int8_t* q = nullptr;
    const float* scale = nullptr;
    const N *low = nullptr, *b = nullptr;
    long rank = 0;
    long from = 0;  // the column that w begins with
};

template <class N>
struct Paged {  // one head of a sequence whose tokens lie in pages; `row` is good within a page
    const N* pool;
    const int32_t* table;
    long page, stride;  // numbers from one page, one row, to the next
    const N* row(long i) const { return pool + table[i / PAGE] * page + i % PAGE * stride; }
};

constexpr long PANEL = 16;  // columns at once: their weights stay in the first cache while rows pass

struct Share {  // of a thread: of n columns, in panels
    long from, to;
    explicit Share(long n) {
        const long panels = n / PANEL, t = omp_get_thread_num(), all = omp_get_num_threads();
        from = panels * t / all * PANEL, to = panels * (t + 1) / all * PANEL;
    }
};

}  // namespace
}  // namespace strop
