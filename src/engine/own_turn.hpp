#pragma once

#include <cstdint>
#include <optional>

#include "upstream/start_gate.hpp"

namespace sluice {

/// The slot of one attempt in the limit of its run (run_limit). If there is no such limit, it does
/// nothing. A slot that was not used is released at once. Not thread safe.
class own_turn {
 public:
  own_turn() = default;
  own_turn(start_gate& gate, start_gate::permit place) : gate_(&gate), place_(place) {}
  own_turn(const own_turn&) = delete;
  own_turn& operator=(const own_turn&) = delete;
  ~own_turn() {
    if (gate_ != nullptr) gate_->leave(place_, !sent_);
  }

  /// The attempt starts.
  void sent() {
    if (gate_ == nullptr || sent_) return;
    sent_ = true;
    gate_->sent(place_);
  }
  /// Actual token count; corrects the reservation.
  void used(std::uint64_t tokens) {
    if (gate_ != nullptr) gate_->used(place_, tokens);
  }

 private:
  start_gate* gate_ = nullptr;
  start_gate::permit place_;
  bool sent_ = false;
};

}  // namespace sluice
