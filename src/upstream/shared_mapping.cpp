#include "upstream/shared_mapping.hpp"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>

namespace sluice {

namespace {

// The mappings of this process, for the signal handler; 0: the entry is free. A mapping that finds
// no free entry is not protected.
struct mapped_range {
  std::atomic<std::uintptr_t> begin;
  std::atomic<std::size_t> size;
  std::atomic<bool> has_zeros;
};
std::array<mapped_range, 256> mappings;

void on_bus_error(int signal, siginfo_t* info, void* /*context*/) {
  if (shared_mapping::put_zeros(info->si_addr)) return;
  std::signal(signal, SIG_DFL);  // the same access will now end the process
}

}  // namespace

void* shared_mapping::map(int file, std::size_t size) noexcept {
  unmap();
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) return nullptr;
  at_ = at;
  size_ = size;
  place_ = mappings.size();
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    std::uintptr_t none = 0;
    const auto begin = reinterpret_cast<std::uintptr_t>(at);
    if (!mappings[i].begin.compare_exchange_strong(none, begin)) continue;
    mappings[i].has_zeros = false;
    mappings[i].size = size;
    place_ = i;
    break;
  }
  return at;
}

bool shared_mapping::has_zeros() const noexcept {
  return at_ != nullptr && place_ < mappings.size() && mappings[place_].has_zeros;
}

bool shared_mapping::map_again(int file) noexcept {
  if (::mmap(at_, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
    return false;
  if (place_ < mappings.size()) mappings[place_].has_zeros = false;
  return true;
}

void shared_mapping::unmap() noexcept {
  if (at_ == nullptr) return;
  if (place_ < mappings.size()) {
    mappings[place_].size = 0;
    mappings[place_].begin = 0;
  }
  ::munmap(at_, size_);
  at_ = nullptr;
}

bool shared_mapping::put_zeros(void* address) noexcept {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (mapped_range& each : mappings) {
    const std::uintptr_t begin = each.begin;
    const std::size_t size = each.size;
    if (begin == 0 || wanted < begin || wanted - begin >= size) continue;
    each.has_zeros = true;
    void* const at = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
    return ::mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                  0) != MAP_FAILED;
  }
  return false;
}

void shared_mapping::handle_cut_files() noexcept {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace sluice
