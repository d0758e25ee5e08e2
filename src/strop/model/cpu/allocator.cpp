// Memory of torch's CPU tensors in one region, best fit, neighbours joined (Knuth, The Art of Computer Programming,
// 2.5). torch asks glibc for aligned blocks, for which glibc looks for larger holes than it hands out, so that a hole of
// the right size is passed over (sourceware bug 14581), and tensors share its heap with small objects that outlive them.

#include <c10/core/CPUAllocator.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace {

constexpr size_t ALIGNMENT = 64;     // torch's own
constexpr size_t LEAST = 32 << 10;   // smaller blocks stay with the allocator that was there before

class Region {
public:
    std::mutex mutex;
    size_t used = 0, peak = 0;

    bool reserve(size_t bytes) {  // addresses; pages come when they are written to
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (start == MAP_FAILED) return false;
        base = top = static_cast<char*>(start);
        end = base + bytes;
        return true;
    }

    bool holds(const void* p) const { return p >= base && p < end; }
    size_t extent() const { return top - base; }

    void* take(size_t bytes) {  // null: no room
        bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        std::lock_guard<std::mutex> hold(mutex);
        char* block;
        const auto fit = by_size.lower_bound({bytes, nullptr});
        if (fit != by_size.end()) {
            const size_t rest = fit->first - bytes;
            block = fit->second;
            remove(by_address.find(block));
            if (rest) add(block + bytes, rest);
        } else {  // at the top, from the last hole on if that is free
            const auto last = by_address.empty() ? by_address.end() : std::prev(by_address.end());
            const bool open = last != by_address.end() && last->first + last->second == top;
            block = open ? last->first : top;
            if (bytes > size_t(end - block)) return nullptr;
            if (open) remove(last);
            top = block + bytes;
        }
        taken.emplace(block, bytes);
        used += bytes;
        peak = std::max(peak, used);
        return block;
    }

    void give(void* p) {
        std::lock_guard<std::mutex> hold(mutex);
        const auto found = taken.find(static_cast<char*>(p));
        char* block = found->first;
        size_t bytes = found->second;
        taken.erase(found);
        used -= bytes;
        const auto next = by_address.lower_bound(block);
        if (next != by_address.end() && next->first == block + bytes) {
            bytes += next->second;
            remove(next);
        }
        const auto after = by_address.lower_bound(block);
        if (after != by_address.begin()) {
            const auto before = std::prev(after);
            if (before->first + before->second == block) {
                block = before->first;
                bytes += before->second;
                remove(before);
            }
        }
        add(block, bytes);
    }

private:
    char *base = nullptr, *top = nullptr, *end = nullptr;
    std::map<char*, size_t> by_address;               // free blocks, no two of them neighbours
    std::set<std::pair<size_t, char*>> by_size;       // the same; of equal ones the lowest first
    std::unordered_map<char*, size_t> taken;

    void add(char* block, size_t bytes) {
        by_address.emplace(block, bytes);
        by_size.emplace(bytes, block);
    }
    void remove(std::map<char*, size_t>::iterator block) {
        by_size.erase({block->second, block->first});
        by_address.erase(block);
    }
};

Region& region = *new Region;  // never destroyed: tensors are freed until the very end of the process

class RegionAllocator final : public c10::Allocator {
public:
    c10::Allocator* before = nullptr;

    c10::DataPtr allocate(size_t bytes) override {
        void* block = bytes < LEAST ? nullptr : region.take(bytes);
        if (block) c10::profiledCPUMemoryReporter().New(block, bytes);
        else block = before->raw_allocate(bytes);  // raises for want of memory
        return {block, block, &give, c10::Device(c10::DeviceType::CPU)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return &give; }
    void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

private:
    static void give(void* p);
} & allocator = *new RegionAllocator;

void RegionAllocator::give(void* p) {
    if (!region.holds(p)) return allocator.before->raw_deallocate(p);
    c10::profiledCPUMemoryReporter().Delete(p);
    region.give(p);
}

void lock() { region.mutex.lock(); }
void unlock() { region.mutex.unlock(); }

}  // namespace

extern "C" {

// 1: tensors come from a region of so many bytes from now on, and from the allocator before it when it is full.
int strop_allocator_install(size_t bytes) {
    if (allocator.before) return 1;
    if (!region.reserve(bytes)) return 0;
    pthread_atfork(lock, unlock, unlock);  // a child must not find it locked by a thread that it does not have
    allocator.before = c10::GetCPUAllocator();
    c10::SetCPUAllocator(&allocator, 1);
    return 1;
}

// Bytes in use, the most that were, and the extent of the region that was ever in use.
void strop_allocator_state(size_t* state) {
    std::lock_guard<std::mutex> hold(region.mutex);
    state[0] = region.used;
    state[1] = region.peak;
    state[2] = region.extent();
}
}
