#pragma once

#include <cstddef>

namespace sluice {

/// A file that is mapped into memory and shared with other processes. After another program has cut
/// the file, the kernel sends SIGBUS at the next access. put_zeros() then maps zeros in the place
/// of the file, so that the process can continue. No other process sees these zeros; map_again()
/// replaces them with the file. Not thread safe, except put_zeros().
class shared_mapping {
 public:
  shared_mapping() = default;
  shared_mapping(const shared_mapping&) = delete;
  shared_mapping& operator=(const shared_mapping&) = delete;
  ~shared_mapping() { unmap(); }

  /// Maps the file. Null: it cannot be mapped.
  void* map(int file, std::size_t size) noexcept;
  /// Whether zeros are mapped in the place of the file.
  bool has_zeros() const noexcept;
  /// Maps the file at the same address. Call it after the file has its full size again.
  bool map_again(int file) noexcept;
  void unmap() noexcept;

  /// Call it in the signal handler for a SIGBUS at this address. It replaces the whole mapping that
  /// contains the address with zeros. False: no mapping contains it.
  static bool put_zeros(void* address) noexcept;
  /// Handles SIGBUS with put_zeros(). A SIGBUS for another reason ends the process as before. A
  /// program calls this; the library does not.
  static void handle_cut_files() noexcept;

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
  std::size_t place_ = 0;  // its number in the table for the signal handler
};

}  // namespace sluice
