#pragma once

#include <cstddef>

namespace sluice {

/// A file that is mapped into memory and shared with other processes. Once another program cuts the
/// file, the kernel sends SIGBUS at the next access. put_zeros() lets the process go on with zeros
/// there, which no other process sees, until map_again(). Not thread safe, but for put_zeros().
class shared_mapping {
 public:
  shared_mapping() = default;
  shared_mapping(const shared_mapping&) = delete;
  shared_mapping& operator=(const shared_mapping&) = delete;
  ~shared_mapping() { unmap(); }

  /// Null: it cannot be mapped.
  void* map(int file, std::size_t size) noexcept;
  /// Whether zeros are in its place.
  bool has_zeros() const noexcept;
  /// Maps the file at the same address, after it has its size again.
  bool map_again(int file) noexcept;
  void unmap() noexcept;

  /// To be called for a SIGBUS at this address, in the handler. Puts zeros in the place of the
  /// whole mapping that it is in; false: it is in none.
  static bool put_zeros(void* address) noexcept;
  /// For a program: handles SIGBUS by put_zeros(). Another SIGBUS ends the process as before. The
  /// library does not call it.
  static void handle_cut_files() noexcept;

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
  std::size_t place_ = 0;  // its number in the table for the signal handler
};

}  // namespace sluice
