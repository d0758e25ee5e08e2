// Which keys a block of queries sees, whatever the format of numbers.
#pragma once
#include <algorithm>

namespace strop {
namespace {

constexpr int TILE = 64;    // keys, and queries; as many as a page has
constexpr int MAX_D = 256;  // numbers of a row
constexpr float NOTHING = -1e30f;  // a maximum over no key yet; finite, so that differences of two are 0 and not NaN

struct Visible {
    int first, window;  // position of the block's first query among the keys
    bool whole(int key, int keys, int queries) const {  // no pair of this tile is hidden
        return key + keys - 1 <= first && (!window || key > first + queries - 1 - window);
    }
};

inline int first_key(int position, int window) { return window ? std::max(0, position - window + 1) / TILE * TILE : 0; }

}  // namespace
}  // namespace strop
