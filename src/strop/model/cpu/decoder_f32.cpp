// All layers of a decoder for a few new tokens, in float32 (decode.h says what is computed), on any processor.
//
// Products are of rows with a weight as it lies in memory, row by row. Of few rows a vector runs along both rows' numbers, the
// sums of a tile of some rows x 4 columns are kept at once, and added up across their lanes at the end; of more, vectors run
// across rows (across.h). The order of additions does not depend on how many rows there are, so a row's result is the same
// to the bit in every batch.

#include <omp.h>

#include <array>
#include <climits>
#include <vector>

#include "across.h"
#include "operands.h"
#include "rows.h"

namespace strop {
namespace {

template <class N>
constexpr int BLOCK = 0;  // every query is attended by itself

constexpr int COLUMNS = 4;
constexpr int TILE_ROWS = WIDE == 16 ? 6 : 3;  // a tile's sums stay in registers: there are 32, or 16
constexpr long ROWS = 128;                     // at once: they stay in the second cache while the weight passes
// Rows that a vector across them pays for; never where a register holds four numbers, and has as much to fetch as to compute.
constexpr long ENOUGH = WIDE == 16 ? 10 : WIDE == 8 ? 7 : LONG_MAX;
constexpr long MOST = 64;  // of more, as prompts have, tiles are as fast, and nothing has to be laid out

template <int R>
inline void add_products(const float* x, long ldx, const float* w, long k, Wide (&sum)[R][COLUMNS]) {
    for (long i = 0; i < k; i += WIDE) {
        Wide right[COLUMNS];
        for (int j = 0; j < COLUMNS; j++) right[j] = load(w + j * k + i);
        for (int r = 0; r < R; r++) {
            const Wide left = load(x + r * ldx + i);
            for (int j = 0; j < COLUMNS; j++) sum[r][j] += left * right[j];
        }
    }
}

// sums[r]: the products of row `row + r` of x with four rows of the weight from `column` on.
template <int R>
inline void tile(const float* x, long ldx, long row, const Weight<float>& w, long column, long k, Four* sums) {
    Wide sum[R][COLUMNS] = {};
    add_products<R>(x + row * ldx, ldx, w.w + (column - w.from) * k, k, sum);
    for (int j = 0; w.scale && j < COLUMNS; j++)
        for (auto& line : sum) line[j] *= w.scale[column + j];
    if (w.rank) add_products<R>(w.low + row * w.rank, w.rank, w.b + column * w.rank, w.rank, sum);
    for (int r = 0; r < R; r++) sums[r] = four_sums(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
}

// The panel of a weight in float32, in `room` where it is integers.
inline Weight<float> panel_of(Weight<float> w, long panel, long k, float* room) {
    if (!w.q) return w;
    const int8_t* q = w.q + panel * k;
    for (long i = 0; i < PANEL * k; i++) room[i] = q[i];  // a loop that compilers make vectors of
    w.w = room, w.from = panel;
    return w;
}

// Calls `done(row, column, four numbers of the first weight's product, others' ...)` for R rows of a panel.
template <int R, class Done, class... Weights>
inline void tiles(const float* x, long ldx, long row, long panel, long k, Done& done, const Weights&... w) {
    for (long column = panel; column < panel + PANEL; column += COLUMNS) {
        Four sums[sizeof...(w)][R];
        int i = 0;
        (tile<R>(x, ldx, row, w, column, k, sums[i++]), ...);
        for (int r = 0; r < R; r++) {
            if constexpr (sizeof...(w) == 1) done(row + r, column, sums[0][r]);
            if constexpr (sizeof...(w) == 2) done(row + r, column, sums[0][r], sums[1][r]);
        }
    }
}

// Some of the rows, laid out for vectors across them, with what each weight's adapter made of them.
struct Block {
    long row, m;
    int vectors;
    std::vector<float> x;
    std::array<std::vector<float>, 2> low;

    template <class... Weights>
    Block(const float* from, long ldx, long row, long m, int vectors, long k, const Weights&... w)
        : row(row), m(m), vectors(vectors) {
        int i = 0;
        lay_out(from + row * ldx, ldx, k, x);
        ((w.rank ? lay_out(w.low + row * w.rank, w.rank, w.rank, low[i]) : void(), i++), ...);
    }

    void lay_out(const float* from, long ld, long k, std::vector<float>& to) const {
        to.resize(k * vectors * WIDE);
        vectors == 2 ? by_lanes<2>(from, ld, m, k, to.data()) : by_lanes<1>(from, ld, m, k, to.data());
    }
};

// For all of rows [0, m) and this thread's share of n columns, of the products of x with each of the weights.
template <class Done, class... Weights>
void products(const float* x, long ldx, long m, long k, long n, Done done, Weights... w) {
    thread_local std::vector<float> room;
    if ((w.q || ...)) room.resize(sizeof...(w) * PANEL * k);
    const Share share(n);
    for (long top = 0; share.from < share.to && top < m; top += ROWS) {
        const long bottom = std::min(m, top + ROWS);
        long few = top;
        std::vector<Block> blocks;
        for (long left; m <= MOST && (left = bottom - few) >= ENOUGH; few += blocks.back().m) {
            const int vectors = left >= WIDE + ENOUGH / 2 ? 2 : 1;
            blocks.emplace_back(x, ldx, few, std::min<long>(left, vectors * WIDE), vectors, k, w...);
        }
        for (long panel = share.from; panel < share.to; panel += PANEL) {
            const auto across = [&](const auto&... here) {
                for (const Block& one : blocks) {
                    const float* low[] = {one.low[0].data(), one.low[1].data()};
                    if (one.vectors == 2) across_panel<2>(one.x.data(), low, one.row, one.m, panel, k, done, here...);
                    else across_panel<1>(one.x.data(), low, one.row, one.m, panel, k, done, here...);
                }
                long row = few;
                for (; row + TILE_ROWS <= bottom; row += TILE_ROWS)
                    tiles<TILE_ROWS>(x, ldx, row, panel, k, done, here...);
                for (; row + 2 <= bottom; row += 2) tiles<2>(x, ldx, row, panel, k, done, here...);
                if (row < bottom) tiles<1>(x, ldx, row, panel, k, done, here...);
            };
            long i = 0;
            across(panel_of(w, panel, k, room.data() + i++ * PANEL * k)...);
        }
    }
}

inline Four with_bias(Four x, const float* bias, long column) { return bias ? x + load<Four>(bias + column) : x; }

void linear(const float* x, long ldx, long m, long k, Weight<float> w, const float* bias, long n, float* out, long ldo) {
    products(x, ldx, m, k, n, [=](long row, long column, Four sums) {
        store(out + row * ldo + column, with_bias(sums, bias, column));
    }, w);
}

void linear_added(const float* x, long m, long k, Weight<float> w, const float* bias, long n, float* out) {
    products(x, k, m, k, n, [=](long row, long column, Four sums) {
        float* at = out + row * n + column;
        store(at, load<Four>(at) + with_bias(sums, bias, column));
    }, w);
}

// silu(a) b with silu(a) = a / (1 + e^-a) (SwiGLU, Shazeer 2020)
void gated(const float* x, long m, long k, Weight<float> gate, Weight<float> up, long n, float* out) {
    products(x, k, m, k, n, [=](long row, long column, Four a, Four b) {
        const Four minus = -a > 80.f ? every<Four>(80.f) : -a;
        store(out + row * n + column, a / (1.f + strop::exp(minus)) * b);
    }, gate, up);
}

// Heads that share keys, one query: scores of all the keys, their softmax, the sum of values.
void attend_one(const float* q, int group, int position, Paged<float> k, Paged<float> v, int d, int window, float scale,
                float* out, std::vector<float>& scratch) {
    const int begin = window ? std::max(0, position - window + 1) : 0, end = position + 1, first = begin / PAGE * PAGE;
    const long width = (end - first + PAGE - 1) / PAGE * PAGE;
    scratch.resize(group * width);
    float* scores = scratch.data();
    for (int key = first; key < end; key += COLUMNS) {  // what is beyond the end is read, for it is of the same page
        for (int h = 0; h < group; h++) {
            Wide sum[1][COLUMNS] = {};
            add_products<1>(q + h * d, d, k.row(key), d, sum);
            store(scores + h * width + key - first, four_sums(sum[0][0], sum[0][1], sum[0][2], sum[0][3]) * scale);
        }
    }
    float mass[16];
    for (int h = 0; h < group; h++) {
        float* s = scores + h * width;
        for (int key = first; key < begin; key++) s[key - first] = -INFINITY;
        for (long key = end - first; key < width; key++) s[key] = -INFINITY;
        Wide top = every<Wide>(-INFINITY), sum{};
        for (long i = 0; i < width; i += WIDE) top = load(s + i) > top ? load(s + i) : top;
        const float highest = largest_of(top);
        for (long i = 0; i < width; i += WIDE) {
            const Wide e = strop::exp(load(s + i) - highest);
            store(s + i, e);
            sum += e;
        }
        mass[h] = sum_of(sum);
    }
    for (int j = 0; j < d; j += WIDE) {
        Wide sum[16] = {};
        for (int page = first; page < end; page += PAGE) {
            const float* rows = v.row(page) + j;
            for (int i = std::max(0, begin - page); i < std::min(PAGE, end - page); i++) {
                const Wide row = load(rows + i * v.stride);
                for (int h = 0; h < group; h++) sum[h] += row * scores[h * width + page - first + i];
            }
        }
        for (int h = 0; h < group; h++) store(out + h * d + j, sum[h] / mass[h]);
    }
}

}  // namespace
}  // namespace strop

#include "decode.h"

using namespace strop;

extern "C" {

void strop_decode_f32(const Layer<float>* layers, const Sizes* sizes, float* x, const float* cos, const float* sin, long tokens,
                      const Segment* segments, long count, const int32_t* tables, float* h, float* qkv, float* act,
                      float* low) {
    decode(layers, sizes, x, cos, sin, tokens, segments, count, tables, h, qkv, act, low);
}

// out [m, n] = x w^T (+ bias), w [n, k] or `scale[n] q[n, k]`: n a multiple of 16, k of 32. For few rows.
void strop_linear_f32(const float* x, const float* w, const int8_t* q, const float* scale, const float* bias, float* out, long m,
                      long n, long k) {
#pragma omp parallel
    linear(x, k, m, k, Weight<float>{w, q, scale}, bias, n, out, n);
}
}
