#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sluice {

/// The kernel's id of one boot of the machine.
using boot_id = std::array<unsigned char, 16>;

/// It is a flat table without pointers, initially all zeros. So the same code works in memory of
/// one process and in a file that several processes have mapped. If a process dies in the middle of
/// a change, the table counts too much rather than too little, and settle() corrects the sums.
class limit_window {
 public:
  using moment = std::chrono::nanoseconds;  ///< time since boot, including sleep

  static constexpr std::size_t most_owners = 256;
  static constexpr moment never = moment::max();
  /// 60 s, plus a margin for a relay whose clock is up to 300 ppm slower than ours.
  static constexpr moment length = std::chrono::milliseconds{60'018};
  static constexpr moment most_margin = std::chrono::seconds{60};

  /// The limit that one process applies to the starts of all processes in a minute; 0: none.
  struct caps {
    unsigned requests = 0;
    std::uint64_t tokens = 0;
  };

  /// The holder's record of one start.
  struct slot {
    static constexpr std::int64_t unsent = -1;
    static constexpr std::int64_t returned = -2;
    std::int64_t step = unsent;  ///< number of its bucket
    std::uint64_t tokens = 0;
  };

  /// Empties the table. If it replaces another one whose starts are unknown, it counts as full,
  /// for any cap, until `unknown_until`.
  void reset(const boot_id& boot, moment now, moment unknown_until);
  /// There were starts that the table does not contain: it counts as full at least until `until`.
  void assume_full_until(moment until) noexcept;
  /// Whether the content is valid and was written by this code since this boot.
  bool is_sound(const boot_id& boot, moment now) const;
  /// The cheap part of is_sound(): format, version and boot.
  bool is_of(const boot_id& boot) const noexcept;
  /// Version 1 has the same content, but its processes lock it in another way.
  bool is_of_version_1() const noexcept;
  /// Makes it a table of this version.
  void adopt_version_1() noexcept;
  /// Whether the table is of this boot but contains a later time. Then a process uses another
  /// clock, or `now` is old.
  bool is_ahead(const boot_id& boot, moment now) const noexcept;
  /// Recomputes the sums and the search bounds.
  void recount();
  /// Repairs a change that a dead process left incomplete, and releases starts that are due. Call
  /// it first each time the lock was taken.
  void settle(moment now);

  /// Adds an owner. `margin`: for the starts that it leaves unsent if it dies.
  void add_owner(std::size_t owner, moment margin);
  /// Whether the owner has unsent starts.
  bool has_unsent(std::size_t owner) const noexcept { return owners_[owner].requests != 0; }
  /// The owner is dead: its unsent starts count as sent now.
  void expire_owner(std::size_t owner, moment now);

  /// Counts an unsent start that was taken in an earlier table.
  void count_unsent(std::size_t owner, const slot& start);
  /// Counts a start of `start.tokens`. False: none is allowed now.
  bool take(std::size_t owner, slot& start, const caps& allowed, moment now);
  void sent(std::size_t owner, slot& start, moment now, moment margin);
  void answered(std::size_t owner, slot& start, moment now);
  void cancel(std::size_t owner, slot& start);
  /// Replaces the token count of the start.
  void correct(std::size_t owner, slot& start, std::uint64_t tokens);

  /// The earliest moment at which take() can succeed, ignoring pauses; `never` if that depends on
  /// starts that are not sent yet.
  moment next_fit(std::uint64_t tokens, const caps& allowed, moment now);

  void pause(moment until);
  moment paused_until() const noexcept { return paused_until_; }
  /// Until then the table counts as full, because there were starts that it does not contain.
  moment unknown_until() const noexcept { return unknown_until_; }
  /// All starts that are counted now.
  std::uint64_t requests() const noexcept { return requests_; }
  /// The starts of this owner that are not sent yet.
  std::uint64_t unsent(std::size_t owner) const noexcept { return owners_[owner].requests; }
  /// Whether a start that is no longer among the owner's unsent ones is still counted.
  bool counts(const slot& start) const noexcept { return in_ring(start); }

  static constexpr moment step_length{1 << 24};  // 16.8 ms
  /// A start leaves the window at most this number of buckets after it was sent.
  static constexpr std::int64_t longest_stay = (length + most_margin) / step_length + 1;

 private:
  static constexpr std::int64_t steps = 8192;  // the ring holds 137 s

  struct change;
  struct owner_entry {
    moment margin;
    std::uint64_t tokens;
    std::uint64_t requests;
  };
  struct sums {
    std::uint64_t requests = 0;
    std::uint64_t tokens = 0;
  };

  static std::int64_t step_at(moment when) noexcept { return when / step_length; }
  std::int64_t step_for(moment release) const noexcept;
  static std::size_t place(std::int64_t step) noexcept {
    return static_cast<std::size_t>(step % steps);
  }
  bool in_ring(const slot& start) const noexcept { return start.step >= floor_; }
  sums counted() const;
  void put(std::int64_t step, std::uint64_t requests, std::uint64_t tokens);
  void remove(std::int64_t step, std::uint64_t tokens);
  void move_out(std::size_t owner, slot& start, std::int64_t step);

  std::array<char, 8> magic_;
  std::uint32_t version_;
  std::uint32_t dirty_;  // a change is in progress, or was not completed
  boot_id boot_;
  moment paused_until_;
  moment unknown_until_;
  std::int64_t floor_;  // the first step that is not released yet
  std::int64_t first_;  // all steps before it are empty
  std::int64_t last_;   // all steps after it are empty
  std::uint64_t requests_;
  std::uint64_t tokens_;
  std::array<owner_entry, most_owners> owners_;
  std::array<std::uint32_t, steps> step_requests_;
  std::array<std::uint64_t, steps> step_tokens_;
};

static_assert(std::is_trivially_copyable_v<limit_window> &&
              std::is_trivially_default_constructible_v<limit_window> &&
              std::is_standard_layout_v<limit_window>);

}  // namespace sluice
