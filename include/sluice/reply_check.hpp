#pragma once

#include <optional>
#include <string>

#include "sluice/job.hpp"
#include "sluice/result.hpp"

namespace sluice {

/// Decides whether a reply has the shape that a run expects of its answers. Pure; all calls may be
/// made from any thread.
class reply_check {
 public:
  virtual ~reply_check() = default;

  /// Why replies to this request cannot be checked, as a sentence; nothing: they can be checked. A
  /// request that cannot be checked is a bad line of its job.
  virtual std::optional<std::string> why_unchecked(const request& asked) const = 0;
  /// What is wrong with the reply, in a few words and without a full stop; nothing: it is accepted.
  virtual std::optional<std::string> fault_of(const request& asked, const reply& whole) const = 0;
  /// The body of the request with two more messages: the rejected reply, and the reason. Nothing if
  /// the endpoint has no conversation.
  virtual std::optional<std::string> body_with_reason(const request& asked, const reply& rejected,
                                                      const std::string& reason) const = 0;
};

}  // namespace sluice
