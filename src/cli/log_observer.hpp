#pragma once

#include "sluice/observer.hpp"

namespace sluice::cli {

/// Writes what an engine has to say to the program's log, with the name of the run that speaks,
/// where it has one.
class log_observer final : public observer {
 public:
  void on_notice(const notice& said) override;
  bool wants(severity level) const override;
};

}  // namespace sluice::cli
