#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sluice {

/// Names one start of the machine, as the kernel does.
using boot_id = std::array<unsigned char, 16>;

/// The window of one relay and key: how many starts, and how many tokens, the relay may still
/// count in its last 60 s, and until when nothing starts at all.
///
/// A start is counted with its owner, the process that took it, until its last byte is sent; from
/// then on in a ring of buckets, by the moment at which the relay cannot count it any more, rounded
/// up to the bucket's end. So the size does not depend on the rate, and a move is O(1).
///
/// A flat table without pointers, whose initial state is all zeros: the same code works on the
/// memory of one process and on a file that several have mapped. Where an operation breaks off
/// half-way because its process dies, the table counts too much rather than too little, and
/// settle() makes the sums right again. Pure: takes `now`, in time since the machine started. Not
/// thread safe: whoever shares it holds a lock.
class limit_window {
 public:
  using moment = std::chrono::nanoseconds;  ///< since the machine started, sleep included

  static constexpr std::size_t most_owners = 256;
  static constexpr moment never = moment::max();
  /// The relay's window, and a little for a relay whose clock runs up to 300 ppm slower than ours.
  static constexpr moment length = std::chrono::milliseconds{60'018};
  static constexpr moment most_margin = std::chrono::seconds{60};

  /// What one process allows itself in a minute, of the starts of all; 0: no limit.
  struct caps {
    unsigned requests = 0;
    std::uint64_t tokens = 0;
  };

  /// What its holder knows of a start.
  struct slot {
    static constexpr std::int64_t unsent = -1;
    static constexpr std::int64_t returned = -2;
    std::int64_t step = unsent;  ///< of its bucket
    std::uint64_t tokens = 0;
  };

  /// Empties the table. What was started before is unknown when it takes the place of another: then
  /// it counts as full, whatever the cap, until `unknown_until`.
  void reset(const boot_id& boot, moment now, moment unknown_until);
  /// More was started than it knows of: it counts as full at least until then.
  void distrust(moment until) noexcept;
  /// Whether it can be what this code wrote since that start of the machine.
  bool is_sound(const boot_id& boot, moment now) const;
  /// The part of it that costs little.
  bool is_of(const boot_id& boot) const noexcept;
  /// Is of that start, and knows of a later time: somebody uses it with another clock, or `now` is
  /// long over.
  bool is_ahead(const boot_id& boot, moment now) const noexcept;
  /// Makes the sums and the bounds of the search anew.
  void recount();
  /// Before anything else under a new hold of the lock: undoes what a process that died left half
  /// done, and releases what is due.
  void settle(moment now);

  /// A process begins to take starts; `margin` is for those that it leaves unsent if it dies.
  void enlist(std::size_t owner, moment margin);
  bool owes(std::size_t owner) const noexcept { return owners_[owner].requests != 0; }
  /// The owner is dead: its unsent starts count as sent just now.
  void bury(std::size_t owner, moment now);

  /// Counts a start that was taken in a table before this one, and is not sent yet.
  void adopt(std::size_t owner, const slot& held);
  /// Counts a start of `wanted.tokens`, if one is allowed now.
  bool take(std::size_t owner, slot& wanted, const caps& allowed, moment now);
  void sent(std::size_t owner, slot& held, moment now, moment margin);
  void answered(std::size_t owner, slot& held, moment now);
  void cancel(std::size_t owner, slot& held);
  /// Its tokens are known, or known better.
  void correct(std::size_t owner, slot& held, std::uint64_t tokens);

  /// The earliest moment at which take() can succeed but for pauses; `never` when that hangs on
  /// starts that are not sent yet.
  moment next_fit(std::uint64_t tokens, const caps& allowed, moment now);

  void pause(moment until);
  moment paused_until() const noexcept { return paused_until_; }

 private:
  static constexpr std::int64_t steps = 8192;
  static constexpr moment step_length{1 << 24};  // 16.8 ms; the ring holds 137 s

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
  bool in_ring(const slot& held) const noexcept { return held.step >= floor_; }
  sums counted() const;
  void put(std::int64_t step, std::uint64_t requests, std::uint64_t tokens);
  void remove(std::int64_t step, std::uint64_t tokens);
  void move_out(std::size_t owner, slot& held, std::int64_t step);

  std::array<char, 8> magic_;
  std::uint32_t version_;
  std::uint32_t dirty_;  // a change is under way, or broke off
  boot_id boot_;
  moment paused_until_;
  moment unknown_until_;
  std::int64_t floor_;  // the first step that is not released yet
  std::int64_t first_;  // no step before it holds anything
  std::int64_t last_;   // nor one behind this
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
